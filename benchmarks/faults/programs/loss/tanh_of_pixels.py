"""The decoder of an autoencoder ends in a tanh, but standardized pixels reach 1.85: bright strokes stay grey."""

import torch.nn.functional as F
from torch import nn

from kit import Program, Split, adam, digits, mlp, program, unexplained

CAUSE = "unreachable-targets"


def make(broken: bool) -> Program:
    x, _, x_test, _ = digits()
    data = Split(x, x, x_test, x_test)
    model = mlp(64, 96, 24, 96, 64, end=nn.Tanh() if broken else None)
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
