"""How many seeds would tell."""

import math

from gainstage.study._errors import StudyError
from gainstage.study._statistics import special

_MOST = 2**60  # floats count no further


def seeds_needed(spread: float, half_width: float, *, level: float = 0.95, power: float = 0.5) -> int:
    r"""How many seeds make the t interval of a mean difference this narrow.

    $$ \min\{n : (t_{(1 + \text{level})/2,\, n-1} + t_{\text{power},\, n-1})\, s / \sqrt{n} \le w\} $$

    With `power` 0.5 the second quantile is 0: an interval whose half width is `w` where the spread is `s`, which finds
    a difference of exactly `w` in half of all studies. With 0.8 it finds it in four of five.

    Args:
        spread: standard deviation `s` of the differences between seeds, 0 or more.
        half_width: `w`, above 0.
        level: of the interval, between 0 and 1.
        power: share of studies in which a difference of `half_width` is found, from 0.5 to below 1.

    Returns:
        The number of seeds, 2 or more; 2^60 where it would be more than that.

    Raises:
        StudyError: the spread is negative or the half width not above 0.

    Example:
        >>> seeds_needed(0.02, 0.01), seeds_needed(0.02, 0.01, power=0.8)
        (18, 34)
    """
    if not (0 <= spread < math.inf and half_width > 0):
        raise StudyError(f"a spread of {spread} and a half width of {half_width}: expected from 0 on, and above 0")

    def enough(n: int) -> bool:
        quantile = special().stdtrit(n - 1, (1 + level) / 2) + special().stdtrit(n - 1, power)
        return bool(quantile * spread <= half_width * math.sqrt(n))

    low, high = 1, 2  # `low` is too few, `high` is enough
    while not enough(high):
        if high >= _MOST:
            return _MOST
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
