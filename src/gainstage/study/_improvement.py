"""How likely one arm is to beat another."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from gainstage.study._statistics import checked, special


class Improvement(NamedTuple):
    """The probability that one arm scores above another, with the ends of its interval."""

    value: float
    low: float
    high: float


def probability_of_improvement(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Improvement:
    r"""How likely a run of `a` scores above a run of `b`; a tie counts half.

    $$ \hat\theta = \frac{1}{mn} \sum_{j,k} [a_j > b_k] + \tfrac12 [a_j = b_k] $$

    The interval is Wilson's for a share of `min(m, n)` independent trials. That is honest because $\hat\theta$ is an
    average of shares over `min(m, n)` disjoint pairs each, so that its variance is at most
    $\theta (1 - \theta) / \min(m, n)$, whatever the distributions. At n = 5 it holds the truth in 0.94 to 0.99 of
    simulated studies (equal and unequal normal spreads, runs that fail at times), at n = 10 in 0.93 to 0.99. Five runs
    that all beat five others give 0.57 to 1.

    Args:
        a: scores `[m]`, finite.
        b: scores `[n]`, finite.
        level: of confidence, between 0 and 1.

    Returns:
        The probability and the ends of its interval.

    Raises:
        StudyError: no scores, or one that is not finite.

    Example:
        >>> [round(number, 2) for number in probability_of_improvement([3, 4, 5, 6, 7], [1, 2, 2, 3, 2])]
        [0.98, 0.54, 1.0]

    References:
        Agarwal et al., *Deep reinforcement learning at the edge of the statistical precipice*, NeurIPS 2021.
        Hoeffding, *Probability inequalities for sums of bounded random variables*, JASA 1963, section 5 (averages over
        disjoint pairs).
        Wilson, *Probable inference, the law of succession, and statistical inference*, JASA 1927.
    """
    x, y = checked(a), checked(b)
    gaps = x[:, None] - y[None, :]
    share = float(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    n, z = min(len(x), len(y)), float(special().ndtri((1 + level) / 2))
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Improvement(share, max(0.0, middle - half), min(1.0, middle + half))
