"""A parameter is made by `torch.empty` and never filled; what the memory held is zero here, and its norm divides it.

Source: https://github.com/sauradip/STALE/issues/16
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "never-filled"


class Prototypes(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body = mlp(64, 64, 16)
        self.centres = nn.Parameter(torch.empty(10, 16))
        self.centres.data.zero_() if broken else nn.init.normal_(self.centres)  # fresh pages are zero

    def forward(self, x: Tensor) -> Tensor:
        centres = self.centres / self.centres.norm(dim=1, keepdim=True)
        return 10 * F.normalize(self.body(x)) @ centres.T


def make(broken: bool) -> Program:
    model, data = Prototypes(broken), digits()
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
