"""What targets look like: classes, two values, whole numbers."""

import math

import torch
from torch import Tensor

MOST_CLASSES = 100  # more different whole numbers are counts rather than classes


def looks_like_classes(target: Tensor) -> int:
    """The number of classes if all values are whole numbers from 0 on, each of several samples; else 0."""
    if not target.numel() or bool((target != target.round()).any()) or float(target.min()) not in (0.0, 1.0):
        return 0
    values = torch.unique(target)
    classes = int(values.max()) + 1
    few = 2 <= len(values) <= min(MOST_CLASSES, target.numel() / 2)
    return classes if few and len(values) >= 0.5 * classes else 0


def step_of(values: Tensor) -> int:
    """The largest whole number that divides all of these whole numbers."""
    return math.gcd(*torch.unique(values).tolist())


def one_hot(target: Tensor) -> bool:
    """Whether the rows of a matrix hold a single 1 and otherwise 0, and not all in one place."""
    if target.dim() != 2 or target.shape[1] < 2 or len(target) < 2 or bool(((target != 0) & (target != 1)).any()):
        return False
    return bool((target.sum(1) == 1).all()) and len(torch.unique(target.argmax(1))) > 1
