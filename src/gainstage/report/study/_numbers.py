"""Scores, rates and intervals in few characters."""

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.study import Results, Summary


def score(value: float) -> str:
    """Three digits behind the point; fewer where there are more before it.

    >>> score(0.96666), score(-12.345), score(-1.5e9)
    ('0.967', '-12.3', '-1.5e+09')
    """
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.3g}"


def rate(lr: float) -> str:
    """A learning rate: two digits that count.

    >>> rate(0.0032), rate(1e-4), rate(1.0)
    ('3.2e-3', '1e-4', '1')
    """
    if 0.1 <= lr < 100 or lr == 0:
        return f"{lr:.2g}"
    digits, _, power = f"{lr:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"


def half(low: float, high: float) -> str:
    """Half of an interval, with its sign; nothing where it is infinite, as for one seed.

    >>> half(0.95, 0.97), half(float("-inf"), float("inf"))
    (' ± 0.010', '')
    """
    width = (high - low) / 2
    return f" ± {score(width)}" if isfinite(width) else ""


def mean(summary: "Summary") -> str:
    """`0.967 ± 0.006`."""
    return score(summary.mean) + half(summary.low, summary.high)


def at_edge(results: "Results", arm: int) -> bool:
    """Whether a better rate may lie beyond the grid: the best one is at its end, and the arm learns at all."""
    return results.arms[arm].at_edge and results.summary(arm).mean > results.guess + results.margin
