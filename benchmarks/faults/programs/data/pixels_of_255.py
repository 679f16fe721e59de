"""Pixels come as 0 to 255 and descent runs at a rate for inputs of order one: the first steps throw it off."""

import torch.nn.functional as F

from kit import Program, Split, digits, mlp, program, sgd, wrong

CAUSE = "input-scale"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits(raw=True)
    scale = 255 / 16 if broken else 1 / 16
    data, model = Split(x * scale, y, x_test * scale, y_test), mlp(64, 64, 64, 10)
    return program(model, data, F.cross_entropy, sgd(model, 0.05), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
