"""The data of the lessons: random samples, and handwritten digits that ship with scikit-learn."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from gainstage.init import Law, fill_
from gainstage.lab._errors import LabError


@dataclass(frozen=True)
class Digits:
    """Images of 8 by 8 pixels as 64 numbers, standardized with the training images' statistics, and their digits."""

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor


@cache
def digits() -> Digits:
    """1,797 handwritten digits, a fifth of them kept for the test; the same split always.

    Raises:
        LabError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ModuleNotFoundError:
        raise LabError('the lessons need scikit-learn. Write: pip install "gainstage[lab]"') from None
    pixels, labels = load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(pixels, labels, test_size=0.2, random_state=0, stratify=labels)
    mean, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1  # pixels at the border that no training image uses
    return Digits(
        torch.tensor((x - mean) / spread, dtype=torch.float32),
        torch.tensor(y, dtype=torch.long),
        torch.tensor((test_x - mean) / spread, dtype=torch.float32),
        torch.tensor(test_y, dtype=torch.long),
    )


def draw(law: Law, *shape: int, seed: int = 0) -> Tensor:
    """A tensor drawn from a law, the same for the same seed on every machine: input of a measurement.

    Example:
        >>> from gainstage import init
        >>> draw(init.normal(), 2, 3).shape
        torch.Size([2, 3])
    """
    return fill_(torch.empty(shape), law, seed=seed, name="lab")
