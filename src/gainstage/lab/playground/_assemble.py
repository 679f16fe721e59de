"""One page from the modules, the style sheet and the digits: a few substitutions, and the same bytes always."""

import re
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from json import dumps
from pathlib import Path
from posixpath import dirname, join, normpath

from gainstage.lab._errors import LabError

SOURCE = files("gainstage.lab.playground")
IMAGES = 600  # of scikit-learn's digits; the first four fifths of them are trained on

_IMPORT = re.compile(r'^import (?:(\{[^}]*\})|\* as (\w+)) from "([^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|function|class) (\w+))", re.MULTILINE)


@cache
def page() -> str:
    """The whole page.

    Raises:
        LabError: scikit-learn, which ships the digits, is not installed.

    Example:
        >>> page().startswith("<!doctype html>")
        True
    """
    digits = f"export const DIGITS = {dumps(_digits())};\n"
    text = _read("playground.html")
    for mark, content in (
        ("/* style */", _read("playground.css")),
        ("/* script */", script("main.js", {"engine/digits.js": digits})),
    ):
        text = text.replace(mark, content)
    return text


def write(path: Path) -> Path:
    """Write the page to a file.

    Raises:
        LabError: the file cannot be written, or scikit-learn is not installed.
    """
    try:
        path.write_text(page(), encoding="utf-8", newline="\n")
    except OSError as error:
        raise LabError(f"cannot write {path}: {error.strerror}") from None
    return path


def script(entry: str, made: dict[str, str]) -> str:
    """One classic script from JavaScript modules.

    Every module becomes a function of its own that returns what it exports, and they run in the order of their imports:
    `gainstage["engine/laws.js"].LAWS` is what another module would import.

    Args:
        entry: the module that runs last.
        made: text of modules that are no files, by path.
    """
    texts: dict[str, str] = {}

    def visit(path: str) -> None:
        if path in texts:
            return
        source = made.get(path) or _read(path)
        for *_, target in _IMPORT.findall(source):
            visit(normpath(join(dirname(path), target)))
        texts[path] = source

    visit(entry)
    return "const gainstage = {};\n" + "\n".join(_module(path, text) for path, text in texts.items())


def _module(path: str, text: str) -> str:
    def imported(found: re.Match[str]) -> str:
        names, whole, target = found.groups()
        return f'const {names or whole} = gainstage["{normpath(join(dirname(path), target))}"];\n'

    exports = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(imported, text))
    return f'gainstage["{path}"] = (() => {{\n"use strict";\n{body}return {{ {exports} }};\n}})();\n'


def _digits() -> dict[str, str]:
    """The digits as text: a letter a pixel, `A` for 0 and `Q` for 16, row by row."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise LabError('the digits need scikit-learn. Write: pip install "gainstage[lab]"') from None
    pixels, labels = load_digits(return_X_y=True)
    letters = "".join(chr(65 + int(value)) for value in pixels[:IMAGES].ravel())
    return {"pixels": letters, "labels": "".join(str(label) for label in labels[:IMAGES])}


def _read(path: str) -> str:
    found: Traversable = SOURCE.joinpath(path)
    return found.read_text(encoding="utf-8")
