"""Dropout is given the share that is to be kept, 0.95, where it wants the share that is to go."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong

CAUSE = "too-much-dropout"


def make(broken: bool) -> Program:
    data, rate = digits(), 0.95 if broken else 0.05
    hidden = [part for a in (64, 48) for part in (nn.Linear(a, 48), nn.ReLU(), nn.Dropout(rate))]
    model = nn.Sequential(*hidden, nn.Linear(48, 10))
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
