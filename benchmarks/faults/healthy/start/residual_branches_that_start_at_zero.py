"""Fixup: thirty blocks without normalization whose last layers are zero, with scalar biases and one scale a block.

Source: https://arxiv.org/abs/1901.09321
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong


class Fixup(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        nn.init.normal_(self.first.weight, 0, (2 / 32) ** 0.5 * depth**-0.5)
        nn.init.zeros_(self.last.weight)
        self.shift, self.scale = nn.Parameter(torch.zeros(4)), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        h = (self.first(x + self.shift[0]) + self.shift[1]).relu() + self.shift[2]
        return x + self.scale * self.last(h) + self.shift[3]


def build() -> Program:
    head = nn.Linear(32, 10)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    model, data = nn.Sequential(nn.Linear(64, 32), *(Fixup(30) for _ in range(30)), head), digits()
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=150)
