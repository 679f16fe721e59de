"""Train, validation and test, and the scale that the training part shows."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Rows = npt.NDArray[np.intp]


def parts(
    labels: npt.NDArray[np.int64] | None, count: int, draw: np.random.Generator, held_out: int = 0
) -> tuple[Rows, Rows, Rows]:
    """Rows for training, validation and test, 60 : 20 : 20, each in random order.

    Args:
        labels: classes, of each of which every part gets its share; None for no classes.
        count: number of samples.
        draw: decides, alone.
        held_out: how many of the last samples are the test part; the validation part is then as large.

    Returns:
        Three arrays that share no row and have all of them together.
    """
    order = draw.permutation(count)
    free, test = order[order < count - held_out], order[order >= count - held_out]
    part = np.zeros(count, int)
    for rows in [free] if labels is None else [free[labels[free] == label] for label in np.unique(labels)]:
        fifth = (2 * len(rows) + 5) // 10 if not held_out else (2 * len(rows) * held_out // (count - held_out) + 1) // 2
        part[rows[:fifth]] = 1
        if not held_out:
            part[rows[fifth : 2 * fifth]] = 2
    return free[part[free] == 0], free[part[free] == 1], test if held_out else free[part[free] == 2]


def standardized(x: Tensor, rows: Rows) -> Tensor:
    r"""`x` less the mean of `x[rows]`, over its standard deviation: per feature, or per channel where axes follow it.

    $$ z_{nc} = (x_{nc} - \mu_c) / \sigma_c $$

    What does not vary among these rows is only shifted.
    """
    seen = x[torch.from_numpy(rows)].double()
    axes = [0, *range(2, x.dim())]
    mean = seen.mean(axes, keepdim=True)
    spread = (seen - mean).square().mean(axes, keepdim=True).sqrt()
    spread = torch.where(spread > 1e-12 * mean.abs(), spread, 1.0)
    return (x.double() - mean) / spread
