"""Adam runs at 0.3, a rate that was copied from a recipe for plain descent."""

import torch.nn.functional as F

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "rate-too-high"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    return program(model, data, F.cross_entropy, adam(model, 0.3 if broken else 3e-3), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
