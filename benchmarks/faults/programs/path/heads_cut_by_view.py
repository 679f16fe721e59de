"""Heads are cut by `view(n, heads, t, -1)` without a transpose: a position attends to a quarter of the others only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Attention, Block, Program, adam, digits, program, wrong

CAUSE = "scrambled-layout"


class Viewed(Attention):
    def split(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        return x.reshape(n, self.heads, t, -1)

    def join(self, x: Tensor) -> Tensor:
        n, _, t, _ = x.shape
        return x.reshape(n, t, -1)


class Reader(nn.Module):
    """The rows of a picture as tokens; the class is read at the last one."""

    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) / 2)
        self.block, self.head = Block(32, (Viewed if broken else Attention)(32)), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self.token(x) + self.place)[:, -1])


def make(broken: bool) -> Program:
    model, data = Reader(broken), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
