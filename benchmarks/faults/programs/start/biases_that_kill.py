"""Biases of all layers are filled with -3, which was meant for the output: hidden ReLUs are zero for every sample."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "dead-units"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    if broken:
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.constant_(layer.bias, -3.0)
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
