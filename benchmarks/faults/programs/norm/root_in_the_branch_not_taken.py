"""`where` picks a branch and autograd differentiates both: the root of a negative number, not picked, gives NaN.

Source: https://github.com/pytorch/pytorch/issues/187297
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "non-finite-gradient"


class Profile(nn.Module):
    """A curve that is a parabola inside a radius and a root outside."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.head, self.broken = mlp(12, 64, 32), nn.Linear(32, 6), broken

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x)
        outside = z if self.broken else z.clamp(min=1.0)
        return self.head(torch.where(z < 1, z, 2 * outside.sqrt() - 1))


def make(broken: bool) -> Program:
    model, data = Profile(broken), springs()
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
