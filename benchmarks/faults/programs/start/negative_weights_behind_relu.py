"""Weights are drawn from (-a, 0): behind a ReLU all inputs are non-negative, so the next layer never fires."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "dead-units"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound = (6 / layer.in_features) ** 0.5
            nn.init.uniform_(layer.weight, -bound, 0.0 if broken else bound)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
