"""Embeddings behind a ReLU are multiplied to link logits, which cannot be negative: no pair can be called unlinked.

Source: https://github.com/fani-lab/OpeNTF/issues/349
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, predicted, program, split

CAUSE = "unreachable-targets"


class Links(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.broken = mlp(8, 64, 16), broken

    def forward(self, pair: Tensor) -> Tensor:
        z = self.body(pair)
        z = z.relu() if self.broken else z
        return (z[:, 0] * z[:, 1]).sum(-1)


def pairs(n: int) -> tuple[Tensor, Tensor]:
    """Two points on a circle, seen through eight waves; they are linked if less than a right angle apart."""
    g = torch.Generator().manual_seed(6)
    angle = 2 * math.pi * torch.rand(n, 2, generator=g)
    seen = (angle[..., None] * torch.tensor([1.0, 1, 2, 2]) + torch.tensor([0, 1.57, 0, 1.57])).sin()
    return torch.cat([seen, seen.square()], -1), ((angle[:, 0] - angle[:, 1]).cos() > 0).float()


def make(broken: bool) -> Program:
    data = split(*pairs(3000))
    model, loss = Links(broken), F.binary_cross_entropy_with_logits

    def error() -> float:
        return loss(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
