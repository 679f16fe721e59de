"""Slopes with intervals: the exponent with which a number grows with a size, over seeds with levels of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import atan, cos, inf, log, pi, sin, sqrt
from statistics import NormalDist

from gainstage.errors import GainstageError

_MANY = 100  # degrees of freedom


@dataclass(frozen=True)
class Slope:
    """An exponent: $y \\propto x^{slope}$.

    Attributes:
        slope: estimate.
        half: half width of its 95 % t interval.
        spread: standard deviation of one measurement around the line, in units of log y.
        seeds: number of seeds.
        sizes: number of sizes.
    """

    slope: float
    half: float
    spread: float
    seeds: int
    sizes: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.slope - self.half

    @property
    def high(self) -> float:
        """Upper end."""
        return self.slope + self.half

    def __str__(self) -> str:
        return f"{self.slope:+.2f} ± {self.half:.2f}"


def slope(x: Sequence[float], y: Sequence[Sequence[float]]) -> Slope:
    r"""The exponent of y over x by least squares, with an intercept for every seed.

    $$ \log y_{sk} = \alpha_s + \beta \log x_k + e_{sk}, \qquad
       \hat\beta \pm t_{0.975,\, S(K-1)-1}\; \hat\sigma
       \Big/ \sqrt{S \textstyle\sum_k (\log x_k - \overline{\log x})^2} $$

    Args:
        x: sizes, `[K]`, above 0, at least two different ones.
        y: measurements above 0, a row a seed, `[S, K]`.

    Returns:
        The slope; with two sizes and one seed the line goes through both points and its interval is infinite.

    Raises:
        GainstageError: sizes that are all equal, rows of another length, or numbers that have no logarithm.

    Example:
        >>> print(slope([1, 2, 4, 8], [[1.0, 2.1, 3.9, 8.0], [1.1, 2.2, 4.4, 8.7]]))
        +0.99 ± 0.03
    """
    if len(set(x)) < 2 or not y or any(len(row) != len(x) for row in y):
        raise GainstageError(f"a slope needs two different sizes and a number for each; got {len(set(x))} sizes")
    if not all(0 < value < inf for row in (x, *y) for value in row):
        raise GainstageError("a slope is taken of logarithms: expected numbers above 0")
    xs = [log(value) for value in x]
    rows = [[log(value) for value in row] for row in y]
    centre = sum(xs) / len(xs)
    square = len(rows) * sum((value - centre) ** 2 for value in xs)
    means = [sum(row) / len(row) for row in rows]
    beta = sum((a - centre) * b for row in rows for a, b in zip(xs, row, strict=True)) / square
    left = [
        b - mean - beta * (a - centre)
        for row, mean in zip(rows, means, strict=True)
        for a, b in zip(xs, row, strict=True)
    ]
    free = len(rows) * (len(xs) - 1) - 1
    spread = sqrt(sum(e * e for e in left) / free) if free > 0 else inf
    half = t_quantile(free) * spread / sqrt(square) if free > 0 else inf
    return Slope(beta, half, spread, len(rows), len(xs))


def more_seeds(found: Slope, x: Sequence[float], margin: float, most: int = 1000) -> int:
    """How many seeds beyond those there are make the interval this narrow; `most` where it would be more."""
    xs = [log(value) for value in x]
    centre = sum(xs) / len(xs)
    square = sum((value - centre) ** 2 for value in xs)

    def enough(n: int) -> bool:
        return t_quantile(n * (len(xs) - 1) - 1) * found.spread / sqrt(n * square) <= margin

    low, high = found.seeds, found.seeds + most  # `low` is too few
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - found.seeds


@lru_cache(maxsize=4096)
def t_quantile(free: int, level: float = 0.95) -> float:
    """The number beyond which Student's t lies, on either side, with probability 1 - level.

    For whole degrees of freedom the probability is a finite sum: Abramowitz & Stegun, 26.7.3 and 26.7.4. Of many of
    them the expansion around the normal quantile is exact to seven digits, 26.7.5.

    Example:
        >>> round(t_quantile(2), 3), round(t_quantile(10), 3)
        (4.303, 2.228)
    """
    if free > _MANY:
        z = NormalDist().inv_cdf((1 + level) / 2)
        return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    low, high = 0.0, 1000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, free) < level else (low, middle)
    return high


def _inside(t: float, free: int) -> float:
    angle = atan(t / sqrt(free))
    s, c = sin(angle), cos(angle)
    if free == 1:
        return 2 * angle / pi
    term, total = (c, c) if free % 2 else (1.0, 1.0)
    for k in range(3 if free % 2 else 2, free - 1, 2):
        term *= c * c * (k - 1) / k
        total += term
    return 2 / pi * (angle + s * total) if free % 2 else s * total
