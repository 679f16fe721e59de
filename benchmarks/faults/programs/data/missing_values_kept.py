"""One column has missing values stored as NaN, and they reach the first layer."""

import math

import torch
import torch.nn.functional as F

from kit import Program, Split, adam, measured, mlp, program, wrong

CAUSE = "non-finite-data"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("wine")
    gaps = torch.rand(len(x), generator=torch.Generator().manual_seed(0)) < 0.1
    x = x.clone()
    x[gaps, 3] = math.nan if broken else 0.0
    data, model = Split(x, y, x_test, y_test), mlp(13, 32, 3)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), size=32, steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
