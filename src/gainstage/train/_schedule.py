"""Learning rates over time, as factors."""

import math
from collections.abc import Callable

from gainstage.train._errors import TrainError

Schedule = Callable[[int], float]


def warmup(steps: int, *, total: int | None = None) -> Schedule:
    r"""A schedule that rises linearly over `steps`, then stays, or falls to 0 at `total` along half a cosine.

    $$ s(t) = \min\!\left(1, \tfrac{t + 1}{\text{steps}}\right) \cdot
       \tfrac12 \left(1 + \cos \pi \tfrac{t - \text{steps}}{\text{total} - \text{steps}}\right)_{t > \text{steps}} $$

    Args:
        steps: length of the rise; 0 for none.
        total: the step at which the rate would be 0; never by default.

    Returns:
        A function of the step's number.

    Raises:
        TrainError: `total` is not after the warm-up.

    Example:
        >>> [round(warmup(2, total=6)(step), 2) for step in range(7)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if total is not None and total <= steps:
        raise TrainError(f"total is {total}, expected more than the {steps} steps of warm-up")

    def factor(step: int) -> float:
        if step < steps:
            return (step + 1) / steps
        if total is None:
            return 1.0
        return (1 + math.cos(math.pi * min(1.0, (step - steps) / (total - steps)))) / 2

    return factor
