"""Learned filters are a plain tensor with `requires_grad=True`: it gets a gradient, and no optimizer moves it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "unregistered"


class Filters(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        bank = torch.randn(6, 1, 3, 3) / 3
        self.bank = bank.requires_grad_() if broken else nn.Parameter(bank)
        self.head = nn.Linear(6 * 4, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.max_pool2d(F.conv2d(x, self.bank).relu(), 3).flatten(1))


def make(broken: bool) -> Program:
    model, data = Filters(broken), digits((1, 8, 8))
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
