"""Accelerations in SI units are of order 1e-5: the network's own start is far larger than all that it is to learn."""

import torch.nn.functional as F

from kit import Program, Split, adam, mlp, program, springs, unexplained

CAUSE = "target-scale"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = springs()
    unit = 1e-5 if broken else 1.0
    data, model = Split(x, y * unit, x_test, y_test * unit), mlp(12, 64, 64, 6)
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
