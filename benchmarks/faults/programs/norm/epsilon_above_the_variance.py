"""A layer normalization has an epsilon of 0.1 where activations are of order 0.001: it divides by 0.3, not by them."""

import torch.nn.functional as F
from torch import nn

from kit import Program, Split, digits, program, sgd, wrong

CAUSE = "large-epsilon"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits(raw=True)
    data = Split(x / 4080, y, x_test / 4080, y_test)
    eps = 0.1 if broken else 1e-8
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.LayerNorm(64, eps), nn.ReLU(), nn.Linear(64, 64))
    model.extend([nn.LayerNorm(64, eps), nn.ReLU(), nn.Linear(64, 10)])
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
