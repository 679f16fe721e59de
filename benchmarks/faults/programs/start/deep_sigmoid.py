"""Ten sigmoid layers at PyTorch's default start: each passes on about a seventh of the differences between samples."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "collapsed-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, *[48] * 10, 10, act=nn.Sigmoid), digits()
    if not broken:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.orthogonal_(layer.weight, 4.0)
                nn.init.zeros_(layer.bias)
                layer.bias.data -= 0.5 * layer.weight.data.sum(1) if layer is not model[0] else 0.0
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
