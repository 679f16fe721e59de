"""Behind a pooling to 1x1 each group of a group normalization holds one channel, a single value: its output is zero."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong

CAUSE = "constant-normalization"


def make(broken: bool) -> Program:
    data = digits((1, 8, 8))
    model = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.AdaptiveAvgPool2d(1))
    model.extend([nn.GroupNorm(32 if broken else 4, 32), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10)])
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
