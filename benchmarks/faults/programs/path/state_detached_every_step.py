"""A recurrent state is detached after every step: no gradient passes from one step to the one before it."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, remembered, wrong

CAUSE = "cut-path"


class Recurrent(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.cell, self.head, self.broken = nn.GRUCell(6, 32), nn.Linear(32, 4), broken

    def forward(self, x: Tensor) -> Tensor:
        h = x.new_zeros(len(x), 32)
        for step in x.unbind(1):
            h = self.cell(step, h.detach() if self.broken else h)
        return self.head(h)


def make(broken: bool) -> Program:
    model, data = Recurrent(broken), remembered()
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
