"""The scalars that are taken of an output."""

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fuzz.ends import logits_of


def surrogate_of(output: Any) -> Tensor:
    """A scalar of any output, for plain runs."""
    total: Any = 0.0
    for t in torch.utils._pytree.tree_leaves(vars(output) if dataclasses.is_dataclass(output) else output):
        if isinstance(t, Tensor) and t.requires_grad:
            total = total + (t.abs() if t.is_complex() else t).float().sum()
    return total


def loss_of(output: Any, target: Tensor) -> Tensor:
    logits = logits_of(output).float()
    return F.cross_entropy(logits, target[: len(logits)])
