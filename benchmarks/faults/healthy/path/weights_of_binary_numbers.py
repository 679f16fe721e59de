"""Weights are used by their signs and trained through the sign as if it were not there."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong


class Signs(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        w = self.weight
        w = w + (w.sign() * w.abs().mean() - w).detach()
        return F.linear(x, w, self.bias)


def build() -> Program:
    data = digits()
    model = nn.Sequential(Signs(64, 96), nn.BatchNorm1d(96), nn.ReLU(), Signs(96, 10))
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))
