"""Forty residual blocks without normalization, each at full He scale: the stream doubles with every block."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "exploding-start"


class Residual(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 32), nn.Linear(32, 32)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.kaiming_normal_(self.last.weight)
        self.last.weight.data *= scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.last(self.first(x).relu())


def make(broken: bool) -> Program:
    blocks = [Residual(1.0 if broken else 40**-0.5) for _ in range(40)]
    model, data = nn.Sequential(nn.Linear(64, 32), *blocks, nn.Linear(32, 10)), digits()
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=150)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
