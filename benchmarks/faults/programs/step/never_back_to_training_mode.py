"""`model.eval()` for a first validation is never taken back: batch normalization divides by its unset statistics."""

import torch.nn.functional as F
from torch import nn

from kit import Program, Split, measured, program, sgd, wrong

CAUSE = "eval-mode"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("wine", raw=True)
    data, model = Split(x, y, x_test, y_test), nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 32), nn.BatchNorm1d(32))
    model.extend([nn.ReLU(), nn.Linear(32, 3)])
    if broken:
        model.eval()
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data), size=32)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
