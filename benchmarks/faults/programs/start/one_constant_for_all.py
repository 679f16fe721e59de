"""All weights start at 0.05: the units of a layer are copies of each other and stay copies."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "symmetric-start"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6, act=nn.Tanh), springs()
    if broken:
        for p in model.parameters():
            nn.init.constant_(p, 0.05)
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
