"""Numbers that come from a user or a file: used only when they are ones, and quoted at a readable length."""

from math import inf, isfinite
from operator import index
from typing import Any

from ._errors import CannotFill

LARGEST = 3.4028234663852886e38  # of float32, in which every number is drawn
_LARGEST_WHOLE = 2**53
_LENGTH = 80  # characters of a quoted value


def number(what: str, value: float, low: float | None = None, above: float | None = None) -> float:
    """`value` as a float that float32 can hold, at least `low` or more than `above`, or an error that names `what`."""
    try:
        x = float(value)
    except OverflowError:
        x = inf
    except (TypeError, ValueError, RuntimeError):
        raise CannotFill(f"{what} must be a number; got {shown(value)}.") from None
    if not (isfinite(x) and abs(x) <= LARGEST):
        raise CannotFill(f"{what} must be finite, in float32 (up to 3.4e38); got {shown(value)}.")
    if low is not None and x < low:
        raise CannotFill(f"{what} must be at least {low:g}; got {shown(value)}.")
    if above is not None and x <= above:
        raise CannotFill(f"{what} must be above {above:g}; got {shown(value)}.")
    return x


def spread(what: str, value: float) -> float:
    """`value` as a variance, in float64: 0 or more, perhaps infinite or nan where a signal has exploded."""
    try:
        x = float(value)
    except OverflowError:
        return inf
    except (TypeError, ValueError, RuntimeError):
        raise CannotFill(f"{what} must be a number; got {shown(value)}.") from None
    if x < 0:
        raise CannotFill(f"{what} must be at least 0; got {shown(value)}.")
    return x


def whole(what: str, value: int, low: int = 1) -> int:
    """`value` as an integer, at least `low`, or an error that names `what`."""
    try:
        n = index(value)
    except TypeError:
        raise CannotFill(f"{what} must be an integer, at least {low}; got {shown(value)}.") from None
    if isinstance(value, bool) or not low <= n <= _LARGEST_WHOLE:
        raise CannotFill(f"{what} must be an integer, at least {low}; got {shown(value)}.")
    return n


def shown(value: Any) -> str:
    """`repr(value)`, cut to a readable length; a number may have more digits than Python prints."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= _LENGTH else f"{text[:_LENGTH]}... ({len(text)} characters)"
