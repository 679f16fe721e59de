"""`maximize=True`, from an experiment with rewards, is still set: the optimizer climbs the loss."""

import torch.nn.functional as F

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "ascent"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    return program(model, data, F.cross_entropy, adam(model, maximize=broken), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
