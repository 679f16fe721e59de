"""A study written as TOML: `data`, `seeds`, `steps` and the like, a table `[grid]`, tables `[[arms]]`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from gainstage._foreign import toml_of
from gainstage._visible import shown, visible
from gainstage.errors import GainstageError
from gainstage.study._arm import Arm, Factory, grid, nearest
from gainstage.study._errors import StudyError
from gainstage.study._files import read
from gainstage.study._init_text import init_of
from gainstage.study._study import Study

ARM = tuple(f.name for f in fields(Arm))
GRID = tuple(name for name in ARM if name != "name")
TOP = (*(f.name for f in fields(Study) if f.name != "arms"), "grid", "arms")
Check = Callable[[Any], bool]
LONGEST = 500
KINDS: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(
        ("model", "init", "norm", "activation", "dropout_kind", "optimizer", "name", "device", "parameterization"),
        (lambda value: isinstance(value, str) and len(value) <= LONGEST, f"a text of at most {LONGEST} characters"),
    ),
    **dict.fromkeys(("steps", "looks", "tuning_seeds", "split_seed"), (lambda value: _whole(value), "a whole number")),
    "data": (lambda value: isinstance(value, str), "a data set's name, file.csv, file.npz or module:function"),
    **dict.fromkeys(("train", "score"), (lambda value: isinstance(value, str), "a text")),
    "guess": (lambda value: _number(value), "a number"),
    "seeds": (lambda value: _whole(value) or _all(value, _whole), "how many, or a list of whole numbers"),
    "rates": (lambda value: _all(value, _number), "a list of numbers"),
    "margin": (lambda value: _number(value), "a number"),
    "residual": (lambda value: isinstance(value, bool), "true or false"),
    "options": (lambda value: isinstance(value, dict), "a table, such as { width = 3 }"),
    "base": (lambda value: isinstance(value, dict), "a table, such as { width = 32 }"),
    "grid": (lambda value: isinstance(value, dict), "a table, [grid]"),
    "arms": (lambda value: _all(value, lambda each: isinstance(each, dict)), "tables, [[arms]]"),
}
NONE = ("init", "norm", "clip")  # fields that may be None, which TOML cannot write: "none"


def study_of(text: str, *, file: str = "study.toml", factory: Callable[[str], Factory] | None = None) -> Study:
    """The study that a text in TOML describes.

    Args:
        text: keys of `Study` at the top; `[grid]` with fields of `Arm`, a list for every value that is to be combined
            with all others; `[[arms]]` with fields of `Arm` for single arms. With both, the grid goes first. `"none"`
            stands for None. `data` may be a `.csv` or `.npz` beside the file, or `"net.py:function"` that returns
            them; with `train = "net.py:function"`, a training of one's own, `[[arms]]` are its settings.
        file: its name, for messages.
        factory: turns a model that is no family, `"net.py:build"`, into the function; without it, it is refused.

    Returns:
        The study.

    Raises:
        StudyError: it is not TOML, has a key that there is not, a value of the wrong kind, or one that `Arm` or `Study`
            refuses. The message names the line, the table and the key.

    Example:
        >>> study = study_of('seeds = 3\\n[grid]\\ninit = ["he_normal", "normal(std=0.01)"]\\ndepth = [4, 20]')
        >>> len(study.arms), study.seeds
        (4, 3)
    """
    told = toml_of(text, file, error=StudyError)
    at = _Places(file, text)
    _check_keys(told, TOP, at, "")
    for key in ("data", "train"):
        if key in told:
            told[key] = _given(key, told[key], at, Path(file).parent, factory)
    alone = told.pop("arms", [])
    if "train" in told:
        if "grid" in told:
            raise StudyError(f"{at('grid', '')}: with train= every arm is a table [[arms]] of its settings.")
        return Study(arms=alone, **told)
    arms = _grid(told.pop("grid"), at, factory) if "grid" in told else ()
    arms += tuple(_arm(table, at, f"arms[{i}]", factory) for i, table in enumerate(alone))
    if not arms:
        raise StudyError(f'{file} has no arms. Write a table [grid], such as: init = ["auto", "torch"], or [[arms]].')
    try:
        return Study(arms=arms, **told)
    except StudyError as error:
        raise StudyError(f"{at.of_message('', str(error))}: {error}") from None


def _given(key: str, value: str, at: "_Places", folder: Path, factory: Callable[[str], Factory] | None) -> Any:
    """Data from a file or a function, or a training; a name stays a name."""
    try:
        if key == "data" and value.endswith((".csv", ".npz")):
            return read(folder / value)
        if ":" not in value:
            if key == "data":
                return value
            raise StudyError(f"train is {shown(value)}: expected a function, such as net.py:train.")
        if factory is None:
            raise StudyError(f"{key} is {shown(value)}: only gainstage compare takes functions from files.")
        found: Any = factory(value)
        return found() if key == "data" else found
    except GainstageError as error:
        raise StudyError(f"{at('', key)}: {error}") from error


class _Places:
    """Where in the file a key of a table is written; `tomllib` does not tell."""

    def __init__(self, file: str, text: str) -> None:
        self._file = visible(file)
        self._lines: dict[tuple[str, str], int] = {}
        table, arms = "", 0
        for number, line in enumerate(text.splitlines(), 1):
            if header := re.match(r"\s*\[\[?\s*([\w.\"'-]+)\s*\]", line):
                table = header[1].strip("\"'")
                if line.lstrip().startswith("[["):
                    table, arms = f"{table}[{arms}]", arms + 1
                self._lines.setdefault(("", table.partition("[")[0]), number)
                self._lines.setdefault((table, ""), number)
            elif key := re.match(r"""\s*["']?([\w-]+)["']?\s*(?:=|\.)""", line):
                self._lines.setdefault((table, key[1]), number)

    def __call__(self, table: str, key: str) -> str:
        """`study.toml, line 4, in [grid]`, as much of it as is known."""
        line = self._lines.get((table, key)) or self._lines.get((table, ""))
        shown = f"[[arms]] number {int(table[5:-1]) + 1}" if table.startswith("arms[") else f"[{table}]"
        return self._file + (f", line {line}" if line else "") + (f", in {shown}" if table else "")

    def of_message(self, table: str, message: str) -> str:
        """The place of the key that a message of `Arm` or `Study` begins with, else that of the table."""
        return self(table, message.partition(" ")[0])


def _check_keys(told: Mapping[str, Any], known: tuple[str, ...], at: _Places, table: str) -> None:
    for key, value in told.items():
        if key not in known:
            elsewhere = (
                "" if table or key not in ARM else " It is a field of an arm: write it under [grid] or [[arms]]."
            )
            hint = elsewhere or f"{nearest(key, known)} There are: {', '.join(known)}."
            raise StudyError(f"{at(table, key)}: there is no key {shown(key)}.{hint}")
        fits, expected = KINDS.get(key, (lambda _: True, ""))
        for each in value if table == "grid" and isinstance(value, list) else [value]:
            if not fits(each):
                raise StudyError(f"{at(table, key)}: {key} is {shown(each)}: expected {expected}.")


def _grid(table: dict[str, Any], at: _Places, factory: Callable[[str], Factory] | None) -> tuple[Arm, ...]:
    if "name" in table:
        raise StudyError(f"{at('grid', 'name')}: the arms of a grid have no name of their own; use [[arms]] for that.")
    _check_keys(table, GRID, at, "grid")
    if not table:
        raise StudyError(f'{at("grid", "")}: the grid is empty. Write for instance: init = ["auto", "torch"].')
    values = {
        key: [_value(key, each, at, "grid", factory) for each in value]
        if isinstance(value, list)
        else _value(key, value, at, "grid", factory)
        for key, value in table.items()
    }
    try:
        return grid(**values)
    except StudyError as error:
        empty = next((key for key, value in values.items() if value == []), None)
        where = at("grid", empty) if empty else at.of_message("grid", str(error))
        raise StudyError(f"{where}: {error}") from None


def _arm(table: dict[str, Any], at: _Places, name: str, factory: Callable[[str], Factory] | None) -> Arm:
    _check_keys(table, ARM, at, name)
    values = {key: _value(key, value, at, name, factory) for key, value in table.items()}
    try:
        return Arm(**values)
    except StudyError as error:
        raise StudyError(f"{at.of_message(name, str(error))}: {error}") from None


def _value(key: str, value: Any, at: _Places, table: str, factory: Callable[[str], Factory] | None) -> Any:
    """The value of a field of `Arm`, from what TOML can write."""
    if key in NONE and value == "none":
        return None
    try:
        if key == "model" and factory is not None and (":" in value or value.endswith(".py")):
            return factory(value)
        if key == "init":
            init_of(value)
    except GainstageError as error:
        raise StudyError(f"{at(table, key)}: {error}") from error
    return value


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _all(value: Any, fits: Check) -> bool:
    return isinstance(value, list) and all(map(fits, value))
