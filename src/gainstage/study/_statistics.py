"""Statistics of a few seeds: intervals that hold at n = 5, and p values that hold over many pairs."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gainstage.study._errors import StudyError

Array = NDArray[np.float64]
ROUNDING = 1e-12  # relative: a smaller difference of two scores is none


def mean_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float, float]:
    r"""The mean, with the t interval around it.

    $$ \bar{x} \pm t_{(1 + \text{level})/2,\, n - 1}\; s / \sqrt{n} $$

    Of normal values it holds the true mean in a share `level` of all samples, for every `n` from 2 on; a percentile
    bootstrap does so in 0.84 at n = 5. The share is lower for skewed values: 0.88 at n = 5 and 0.90 at n = 10 where the
    distance to a ceiling is exponential. And no interval knows of what did not happen: where one run in five fails
    outright, a third of all studies with five seeds see no failure, and the interval holds the mean in 0.67.

    Args:
        values: one a seed, finite.
        level: of confidence, between 0 and 1.

    Returns:
        Mean, lower and upper end. Of one value the ends are infinite: it excludes no mean. Of values without spread
        they are the mean.

    Raises:
        StudyError: no values, or one that is not finite.

    Example:
        >>> [round(number, 3) for number in mean_interval([0.91, 0.93, 0.95])]
        [0.93, 0.88, 0.98]

    References:
        Student, *The probable error of a mean*, Biometrika 1908.
    """
    x = checked(values)
    mean = float(x.mean())
    half = half_width(_spread(x), len(x), level)
    return mean, mean - half, mean + half


def iqm(values: Iterable[float]) -> float:
    r"""The interquartile mean: of the middle half of the values.

    $$ 2 \int_{1/4}^{3/4} F^{-1}(q)\, dq $$

    One outlier among five seeds moves it little. Where a quarter of `n` is not a whole number, the two values at the
    quartiles count in part.

    Args:
        values: finite.

    Returns:
        The mean of the middle half; the plain mean of one or two values.

    Raises:
        StudyError: no values, or one that is not finite.

    Example:
        >>> iqm([0.1, 0.94, 0.95, 0.96])
        0.945

    References:
        Agarwal, Schwarzer, Castro, Courville & Bellemare, *Deep reinforcement learning at the edge of the statistical
        precipice*, NeurIPS 2021.
    """
    x = np.sort(checked(values))
    weights = np.diff(np.clip(np.arange(len(x) + 1) / len(x), 0.25, 0.75))
    return float(weights @ x / weights.sum())


@dataclass(frozen=True)
class Paired:
    """A mean difference over common seeds.

    Attributes:
        difference: mean of `a - b`.
        low: lower end of its 95 % t interval.
        high: upper end.
        p: of the paired t test; 1 where there is one seed or no difference at all.
        spread: standard deviation of the differences between seeds; 0 where there is one seed.
        n: number of seeds.
    """

    difference: float
    low: float
    high: float
    p: float
    spread: float
    n: int

    def interval(self, level: float) -> tuple[float, float]:
        """The t interval of the difference at another level."""
        half = half_width(self.spread, self.n, level)
        return self.difference - half, self.difference + half


def paired(a: Sequence[float], b: Sequence[float], *, resolution: float = 0.0) -> Paired:
    r"""The mean difference of scores over common seeds, with t interval and p value.

    $$ t = \bar{d} \sqrt{n} / s_d, \qquad d_k = a_k - b_k $$

    Runs with equal seeds share the order of their batches and their random numbers, so that much of the chance cancels
    in their difference. It is the chance of the seed that the interval is about; the test samples are given.

    Args:
        a: scores `[n]`, one a seed.
        b: scores `[n]` of the same seeds.
        resolution: smallest step `h` of a score, as 1/360 for an accuracy on 360 samples. Two runs that round to the
            same score are no proof that there is no spread, so the standard deviation is taken to be at least that of
            two roundings, $h / \sqrt{6}$.

    Returns:
        Difference, interval, p value and spread.

    Raises:
        StudyError: not equally many scores, none, or one that is not finite.

    Example:
        >>> found = paired([0.95, 0.97, 0.96], [0.90, 0.91, 0.92])
        >>> round(found.difference, 3), round(found.low, 3), round(found.high, 3), round(found.p, 3)
        (0.05, 0.025, 0.075, 0.013)
    """
    x, y = checked(a), checked(b)
    if len(x) != len(y):
        raise StudyError(f"paired scores: {len(x)} and {len(y)} came, expected one of each arm for every seed")
    d = x - y
    tiny = ROUNDING * max(float(abs(x).max()), float(abs(y).max()))
    d[abs(d) <= tiny] = 0.0
    difference, spread = float(d.mean()), _spread(d)
    spread = max(spread if spread > tiny else 0.0, resolution / math.sqrt(6) if len(d) > 1 else 0.0)
    half = half_width(spread, len(d))
    return Paired(difference, difference - half, difference + half, _p(difference, spread, len(d)), spread, len(d))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    r"""Adjusted p values: with all of them below 0.05 kept, the chance of any false one is at most 0.05.

    $$ \tilde{p}_{(i)} = \max_{j \le i} \min\{1,\, (m - j + 1)\, p_{(j)}\} $$

    It holds whatever the dependence between the tests, and never rejects less than Bonferroni's $m p$.

    Args:
        p_values: between 0 and 1.

    Returns:
        The adjusted values, in the order given.

    Raises:
        StudyError: a value is not between 0 and 1.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03, 0.005])]
        [0.03, 0.06, 0.06, 0.02]

    References:
        Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 1979.
    """
    wrong = [p for p in p_values if not 0.0 <= p <= 1.0]
    if wrong:
        raise StudyError(f"a p value is {wrong[0]}: expected a number from 0 to 1")
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return tuple(adjusted)


def half_width(spread: float, n: int, level: float = 0.95) -> float:
    """Half of a t interval of a mean of `n` values with this standard deviation; infinite for one value."""
    if n < 2:
        return math.inf
    return float(special().stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n)


def checked(values: Iterable[float]) -> Array:
    """The values as an array.

    Raises:
        StudyError: there are none, or one is not finite.
    """
    x = np.array(list(values), dtype=np.float64)
    if not len(x):
        raise StudyError("no scores came: expected one a seed")
    if not np.isfinite(x).all():
        where = int(np.flatnonzero(~np.isfinite(x))[0])
        raise StudyError(
            f"score {where} of {len(x)} is {x[where]}: expected finite numbers. A run that failed counts with the "
            "score of guessing."
        )
    return x


def special() -> Any:
    """The module `scipy.special`.

    Raises:
        StudyError: scipy is not installed.
    """
    try:
        from scipy import special
    except ImportError:
        raise StudyError('the statistics of a study need scipy. Write: pip install "gainstage[study]"') from None
    return special


def _spread(x: Array) -> float:
    return float(x.std(ddof=1)) if len(x) > 1 else 0.0


def _p(difference: float, spread: float, n: int) -> float:
    if n < 2 or difference == 0.0:
        return 1.0
    if spread == 0.0:
        return 0.0
    return min(1.0, 2 * float(special().stdtr(n - 1, -abs(difference) * math.sqrt(n) / spread)))
