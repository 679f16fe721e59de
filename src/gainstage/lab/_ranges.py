"""The values that a slider has, and the one that a text means."""

import math
from collections.abc import Sequence
from typing import Any

from gainstage.lab._numbers import show


def steps(start: float, stop: float, step: float = 1) -> list[float]:
    """From `start` to `stop`; whole numbers where all three are whole.

    Example:
        >>> steps(2, 4), steps(0, 0.3, 0.1)
        ([2, 3, 4], [0.0, 0.1, 0.2, 0.3])
    """
    whole = all(float(v).is_integer() for v in (start, stop, step))
    count = math.floor((stop - start) / step + 1e-9) + 1
    made = [start + i * step for i in range(count)]
    return [int(v) for v in made] if whole else [float(f"{v:.10g}") for v in made]


def nearest(allowed: Sequence[float], value: float) -> float:
    """The allowed value next to this one."""
    return min(allowed, key=lambda v: abs(v - value))


def parsed(text: str, allowed: Sequence[float]) -> float | None:
    """The allowed value that a text means; None where it means none of them."""
    try:
        number = float(text)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    near = nearest(allowed, number)
    return near if math.isclose(near, number, rel_tol=1e-6, abs_tol=1e-12) else None


def refused(text: str, expected: str, start: Any) -> str:
    """What is said of a value in a link that is none of those that a control has.

    Example:
        >>> refused("<9>9", "2 to 60", 20)
        "the link says '99', expected 2 to 60: set to 20"
    """
    plain = "".join(c for c in text[:20] if c.isalnum() or c in "+-.")
    return f"the link says {plain!r}, expected {expected}: set to {show(start)}"
