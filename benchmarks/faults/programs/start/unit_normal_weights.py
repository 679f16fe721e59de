"""Weights are drawn with `randn` and no factor: logits start in the thousands, and the first losses with them."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "exploding-start"


def make(broken: bool) -> Program:
    model, data = mlp(64, 128, 128, 128, 10), digits()
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 1.0 if broken else (2 / layer.in_features) ** 0.5)
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
