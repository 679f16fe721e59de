"""The data of the lessons: random samples, and handwritten digits that ship with scikit-learn."""

from functools import cache

import torch
from torch import Tensor

from gainstage.init import Law, fill_
from gainstage.study.digits import Digits as Digits
from gainstage.study.digits import digits as split_digits


@cache
def digits() -> Digits:
    """1,797 handwritten digits, a fifth of them kept for the test; the same split always.

    Raises:
        StudyError: scikit-learn is not installed.
    """
    return split_digits(0)


def draw(law: Law, *shape: int, seed: int = 0) -> Tensor:
    """A tensor drawn from a law, the same for the same seed on every machine: input of a measurement.

    Example:
        >>> from gainstage import init
        >>> draw(init.normal(), 2, 3).shape
        torch.Size([2, 3])
    """
    return fill_(torch.empty(shape), law, seed=seed, name="lab")
