"""The head is replaced after the optimizer was made: it trains the old head, which nothing uses, not the new one."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "foreign-parameters"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 3), digits()
    if not broken:
        model[-1] = nn.Linear(64, 10)
    optimizer = sgd(model, 0.01)
    if broken:
        model[-1] = nn.Linear(64, 10)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
