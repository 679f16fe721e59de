"""The columns of the wines are used in their own units, proline near 750 beside hues near 1."""

import torch.nn.functional as F

from kit import Program, measured, mlp, program, sgd, wrong

CAUSE = "input-scale"


def make(broken: bool) -> Program:
    data, model = measured("wine", raw=broken), mlp(13, 32, 3)
    return program(model, data, F.cross_entropy, sgd(model, 0.02), wrong(model, data), size=32)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
