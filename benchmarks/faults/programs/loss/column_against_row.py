"""The output is a column, the targets a row: their difference is a square table and every output learns the mean.

Source: https://docs.pytorch.org/docs/stable/notes/broadcasting.html
"""

import torch.nn.functional as F

from kit import Program, Split, adam, measured, mlp, program, unexplained

CAUSE = "broadcast-target"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("diabetes")
    data = Split(x, y[:, 0] if broken else y, x_test, y_test)
    model = mlp(10, 32, 1)
    return program(model, data, F.mse_loss, adam(model, 1e-2), unexplained(model, data), steps=60)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
