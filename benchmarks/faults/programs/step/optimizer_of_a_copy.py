"""The optimizer was built on a deep copy of the model: it steps, and the model that is trained never moves."""

from copy import deepcopy

import torch.nn.functional as F

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "foreign-parameters"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    return program(model, data, F.cross_entropy, adam(deepcopy(model) if broken else model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
