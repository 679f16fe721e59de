"""Sines of frequency 30 with their own narrow start learn a photograph from its coordinates.

Source: https://arxiv.org/abs/2006.09661
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, photo, program, unexplained


class Sine(nn.Module):
    def __init__(self, a: int, b: int, first: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(a, b)
        bound = 1 / a if first else (6 / a) ** 0.5 / 30
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return (30 * self.linear(x)).sin()


def build() -> Program:
    x, y = photo()
    last = nn.Linear(64, 1)
    nn.init.uniform_(last.weight, -((6 / 64) ** 0.5) / 30, (6 / 64) ** 0.5 / 30)
    model, data = nn.Sequential(Sine(2, 64, True), Sine(64, 64), Sine(64, 64), last), Split(x, y, x, y)
    return program(model, data, F.mse_loss, adam(model, 1e-3), unexplained(model, data), size=512, steps=200)
