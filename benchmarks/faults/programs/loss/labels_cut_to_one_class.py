"""Labels are scaled to 0..1 and then cast to integers: all digits but the last become class 0."""

import torch.nn.functional as F

from kit import Program, Split, adam, digits, mlp, program, wrong

CAUSE = "scaled-labels"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    model = mlp(64, 64, 10)
    data = Split(x, (y / 9).long() if broken else y, x_test, y_test)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
