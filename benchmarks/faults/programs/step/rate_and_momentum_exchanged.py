"""`SGD(parameters, 0.9, 0.02)`: the second argument is the rate."""

import torch
from torch import nn

from kit import Program, program, springs, unexplained

CAUSE = "rate-too-high"


def make(broken: bool) -> Program:
    data = springs()
    model = nn.Sequential(nn.Linear(12, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 6))
    optimizer = torch.optim.SGD(model.parameters(), *((0.9, 0.02) if broken else (0.02, 0.9)))
    loss = nn.MSELoss(reduction="none")
    return program(
        model, data, lambda out, y: loss(out, y).sum(1).mean(), optimizer, unexplained(model, data), steps=250
    )


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
