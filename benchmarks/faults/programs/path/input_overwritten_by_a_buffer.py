"""A forward pass written in a hurry encodes a stored buffer of zeros instead of the input it is given."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "ignored-input"


class Encoder(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.broken = mlp(64, 64, 10), broken
        self.register_buffer("last", torch.zeros(1, 64))

    def forward(self, x: Tensor) -> Tensor:
        source = self.last.expand(len(x), -1) if self.broken else x
        return self.body(source)


def make(broken: bool) -> Program:
    model, data = Encoder(broken), digits()
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
