"""All weights are drawn from N(0, 0.01) as in an old tutorial: eight tanh layers pass on a 10^-9 of the signal."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "collapsed-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, *[64] * 8, 10, act=nn.Tanh), digits()
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01) if broken else nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
