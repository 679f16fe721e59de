"""Thirty ReLU layers at PyTorch's default start: each leaves four tenths of the signal; the biases drown the rest."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "collapsed-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, *[64] * 30, 10), digits()
    if not broken:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
    return program(model, data, F.cross_entropy, adam(model, 3e-4), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
