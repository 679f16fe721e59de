"""Prose with values: `{expression}` and `{expression:format}` become what was computed."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gainstage.lab._numbers import raised, show
from gainstage.lab.course.grammar import wrong

_APART = re.compile(r"(^```.*?^```|`[^`\n]+`)|(\$\$.+?\$\$|(?<![\\$])\$[^$\n]+?\$)", re.DOTALL | re.MULTILINE)
_IN_TEXT = re.compile(r"\{([^{}]+?)(?::([ ,.+\d]*[a-z%]|,))?\}")
_IN_FORMULA = re.compile(r"\{([^{}]+?):([ ,.+\d]*[a-z%])\}")
_POWER = re.compile(r"(-?[\d.]+)e([+-]\d+)")
_WRITTEN = re.compile(r"(?<![\w.])(-?\d[\d.]*)e([+-]\d\d+)(?!\w)")

Value = Callable[[str, str | None, int], str]  # expression, format, place in the source


def fill(source: str, names: Mapping[str, Any], file: Path, line: int) -> str:
    r"""Markdown with its values.

    In text every `{...}` is an expression; in a formula, whose braces are LaTeX's, only one with a format: `{q:.3g}`.
    Code is left as it is. A number without a format has three significant digits.

    Args:
        source: Markdown.
        names: what the expressions may use.
        file, line: where the source begins, named in errors.

    Raises:
        LessonError: an expression fails.

    Example:
        >>> print(fill(r"{q} and $\mathbb{E}[x] = {q:.1f}$, `{q}`", {"q": 0.12345}, Path("l.md"), 1))
        0.123 and $\mathbb{E}[x] = 0.1$, `{q}`
    """

    def value(expression: str, form: str | None, at: int) -> str:
        here = line + source.count("\n", 0, at)
        try:
            found = eval(compile(expression.strip(), f"{file.name}", "eval"), dict(names))
            found = found.item() if hasattr(found, "item") else found
            return show(found) if form is None else format(found, form)
        except Exception as error:
            raise wrong(file, here, f"{{{expression}}} fails: {type(error).__name__}: {error}") from None

    return _replaced(source, value)


def pending(source: str) -> str:
    """Markdown with a mark where a value is to come.

    Example:
        >>> pending("It grew {growth:.3g} times.")
        'It grew … times.'
    """
    return _replaced(source, lambda *_: "…")


def has_values(source: str) -> bool:
    """Whether something in it is to be computed."""
    return pending(source) != source


def powers(source: str) -> str:
    """Text in which 1.2e-07 is 1.2·10⁻⁷; code and formulas stay as they are.

    Example:
        >>> powers("rounding, 1.2e-07")
        'rounding, 1.2·10⁻⁷'
    """
    done, made = 0, []
    for found in _APART.finditer(source):
        made += [_WRITTEN.sub(_raise, source[done : found.start()]), found[0]]
        done = found.end()
    return "".join([*made, _WRITTEN.sub(_raise, source[done:])])


def _raise(found: re.Match[str]) -> str:
    return f"{found[1]}·10{raised(int(found[2]))}"


def _replaced(source: str, value: Value) -> str:
    def part(found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        at = found.start()
        return _IN_FORMULA.sub(lambda f: _set(value(f[1], f[2], at + f.start()), formula=True), found[2])

    done, made = 0, []
    for found in _APART.finditer(source):
        made += [_text(source[done : found.start()], done, value), part(found)]
        done = found.end()
    return "".join([*made, _text(source[done:], done, value)])


def _text(source: str, at: int, value: Value) -> str:
    return _IN_TEXT.sub(lambda f: _set(value(f[1], f[2], at + f.start()), formula=False), source)


def _set(value: str, *, formula: bool) -> str:
    """A number as people write it: 1.2e-07 is 1.2·10⁻⁷."""
    if formula and value == "…":
        return r"\ldots"
    found = _POWER.fullmatch(value)
    if found is None:
        return value.replace("%", r"\%") if formula else value
    return rf"{found[1]} \cdot 10^{{{int(found[2])}}}" if formula else _raise(found)
