"""The probability is rounded to 0 or 1 before the loss compares it: a step function has no slope."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, measured, program, wrong

CAUSE = "cut-path"


def make(broken: bool) -> Program:
    data = measured("breast_cancer")
    model = nn.Sequential(nn.Linear(30, 24), nn.ReLU(), nn.Linear(24, 1), nn.Flatten(0), nn.Sigmoid())

    def loss(p: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(p.round() if broken else p, y.float())

    return program(model, data, loss, adam(model), wrong(model, data, lambda p: (p > 0.5).long()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
