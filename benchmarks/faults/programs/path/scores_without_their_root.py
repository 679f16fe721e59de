"""Attention by hand over 128 features forgets the root of their number, on unnormalized queries and keys."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "saturated-start"


class Looking(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.up = scale, nn.Linear(8, 128)
        self.q, self.k, self.v = (nn.Linear(128, 128) for _ in range(3))
        self.head, self.place = nn.Linear(128, 10), nn.Parameter(torch.randn(8, 128) / 2)
        for layer in (self.up, self.q, self.k, self.v):
            nn.init.normal_(layer.weight, 0, layer.in_features**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        h = self.up(x) + self.place
        for _ in range(3):
            weights = (self.q(h) @ self.k(h).mT * self.scale).softmax(-1)
            h = h + weights @ self.v(h)
        return self.head(h.mean(1))


def make(broken: bool) -> Program:
    data, model = digits((8, 8)), Looking(1.0 if broken else 128**-0.5)
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
