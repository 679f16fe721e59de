"""A softmax over a single unit is always 1, whatever the network says."""

import torch.nn.functional as F
from torch import nn

from kit import Program, Split, adam, measured, mlp, program, wrong

CAUSE = "constant-output"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("breast_cancer")
    data = Split(x, y.float()[:, None], x_test, y_test)
    model = mlp(30, 32, 1, end=nn.Softmax(-1) if broken else nn.Sigmoid())
    return program(model, data, F.binary_cross_entropy, adam(model), wrong(model, data, lambda p: p > 0.5))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
