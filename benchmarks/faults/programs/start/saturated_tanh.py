"""Weights of N(0, 1) in front of tanh: nearly every unit is at -1 or 1, where its slope is gone."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "saturated-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 64, 10, act=nn.Tanh), digits()
    for layer in model[:-1]:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 1.0 if broken else 0.12)
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
