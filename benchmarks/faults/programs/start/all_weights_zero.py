"""Every weight and bias starts at zero: no hidden layer gets a gradient, and only the last bias moves."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "symmetric-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    if broken:
        for p in model.parameters():
            nn.init.zeros_(p)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
