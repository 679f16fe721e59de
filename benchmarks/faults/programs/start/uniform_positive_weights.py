"""Layers by hand draw their weights from `torch.rand`, all positive and far too large."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, digits, program, sgd, wrong

CAUSE = "exploding-start"


class Dense(nn.Module):
    def __init__(self, into: int, out: int, broken: bool) -> None:
        super().__init__()
        drawn = torch.rand(into, out) if broken else torch.randn(into, out) * (2 / into) ** 0.5
        self.w, self.b = nn.Parameter(drawn), nn.Parameter(torch.zeros(out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.b, x, self.w)


def make(broken: bool) -> Program:
    data = digits()
    sizes = [(64, 64), (64, 64), (64, 64), (64, 10)]
    parts = [part for size in sizes for part in (Dense(*size, broken), nn.ReLU())]
    model = nn.Sequential(*parts[:-1])
    return program(model, data, F.cross_entropy, sgd(model, 0.01), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
