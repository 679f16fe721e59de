"""Unscaled measurements of tumours, up to 4,254, enter a layer of sigmoids, which they saturate."""

import torch.nn.functional as F
from torch import nn

from kit import Program, Split, adam, measured, mlp, program, wrong

CAUSE = "input-scale"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("breast_cancer", raw=broken)
    data = Split(x, y.float()[:, None], x_test, y_test)
    model = mlp(30, 32, 1, act=nn.Sigmoid)
    loss = F.binary_cross_entropy_with_logits
    return program(model, data, loss, adam(model), wrong(model, data, lambda out: out > 0))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
