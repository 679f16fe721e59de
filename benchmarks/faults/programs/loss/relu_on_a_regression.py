"""The last layer of a regression keeps the ReLU of the hidden ones: half of the targets are negative, no output is."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "unreachable-targets"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6, end=nn.ReLU() if broken else None), springs()
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
