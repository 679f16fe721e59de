"""`momentum=0.999` is meant as the share that is kept, but PyTorch's is the share that is new: each batch is all of it.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.BatchNorm1d.html
"""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong

CAUSE = "norm-momentum"


def make(broken: bool) -> Program:
    data, momentum = digits(), 0.999 if broken else 0.1
    layers = [nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU()]
    layers += [nn.Linear(64, 64), nn.BatchNorm1d(64, momentum=momentum), nn.ReLU(), nn.Linear(64, 10)]
    model = nn.Sequential(*layers)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), size=4, steps=600)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
