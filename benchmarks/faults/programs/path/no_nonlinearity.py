"""The activations between three linear layers were forgotten: together they are one linear map."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "linear-network"


def make(broken: bool) -> Program:
    data = springs()
    model = mlp(12, 64, 64, 6, act=nn.Identity if broken else nn.ReLU)
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data), steps=500)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
