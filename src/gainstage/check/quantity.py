"""What a rule measures, and the numbers that it compares with, each with the measurement that set it.

*Digits* in these reasons are short trainings on scikit-learn's digits by `benchmarks/limits.py` (data and losses:
`benchmarks/data_and_loss.py`): accuracy after 300 steps, where a healthy network reaches 0.96 and chance is 0.10.
*Zoo* is the extreme over the healthy models of the tests, by `benchmarks/healthy_distribution.py`. The outputs of these
scripts are kept in `benchmarks/results`. An extreme beyond a limit is silent by another condition of the rule.
"""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isnan, nan
from types import CodeType
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Limit(float):
    """A number that a rule compares with: what it limits or why it is as large, in `why`."""

    why: str

    def __new__(cls, value: float, why: str) -> "Limit":  # noqa: D102
        number = super().__new__(cls, value)
        number.why = why
        return number


NONE = Limit(nan, "no limit: nothing is above or below it")


@dataclass(frozen=True)
class Value:
    """A number that a rule measured. Yielded bare, it says that a place was judged and is within the limits.

    Attributes:
        quantity: what the number is of, with its limits.
        number: the value.
        where: as in `Found`; empty where the finding says it.
    """

    quantity: "Quantity"
    number: float
    where: str = ""

    def __repr__(self) -> str:
        return f"{self.number:g} {self.quantity.of}"


@dataclass(frozen=True)
class Quantity:
    """A number that a rule measures at a place, and the limits beyond which it speaks.

    Args:
        of: what it is, with its unit where it has one; a share or ratio says of what.
        note, warning, error: beyond which a finding has this severity. Other conditions of the rule may lower it.

    Example:
        >>> DEAD = Quantity("share of dead units", warning=Limit(0.8, "Zoo: highest 0.56."))
        >>> DEAD(0.9), float(DEAD.limit("error"))
        (0.9 share of dead units, 0.8)
    """

    of: str
    note: Limit = NONE
    warning: Limit = NONE
    error: Limit = NONE

    def __call__(self, number: float, where: str = "") -> Value:
        """The number at a place. A rule yields it bare where it is within the limits, else in what it found."""
        return Value(self, float(number), where)

    @property
    def limits(self) -> dict[Severity, Limit]:
        """Those that are set, worst first."""
        found: dict[Severity, Limit] = {"error": self.error, "warning": self.warning, "note": self.note}
        return {severity: limit for severity, limit in found.items() if not isnan(limit)}

    def limit(self, severity: Severity) -> Limit | None:
        """The limit behind a finding of this severity: that of the severity, else the nearest; None without any."""
        place = SEVERITIES.index
        return min(self.limits.items(), key=lambda item: abs(place(item[0]) - place(severity)), default=(None, None))[1]


def numbers_of(function: Callable[..., Any]) -> dict[str, Limit | Quantity]:
    """The limits and quantities that a function's code reads, its helpers within the check included, by name."""
    return {name: value for name, value in _globals_of(function, set()) if isinstance(value, Limit | Quantity)}


def _globals_of(function: Callable[..., Any], seen: set[object]) -> Iterator[tuple[str, object]]:
    """What a function reads of its module, and what its own helpers read of theirs."""
    function = inspect.unwrap(function)
    if function in seen or not inspect.isfunction(function):
        return
    seen.add(function)
    for name in _names_in(function.__code__):
        value = function.__globals__.get(name)
        yield name, value
        if getattr(value, "__module__", "").startswith("gainstage.check."):
            members = vars(value).values() if inspect.isclass(value) else [value]
            for member in members:
                inner = member.fget if isinstance(member, property) else getattr(member, "func", member)
                if callable(inner):
                    yield from _globals_of(inner, seen)


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
