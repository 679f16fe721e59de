"""Batch normalization of 1x1 maps runs with two samples a step: two values make each statistic.

Source: https://arxiv.org/abs/1803.08494 (error against batch size)
"""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong

CAUSE = "few-values"


def make(broken: bool) -> Program:
    data = digits((64, 1, 1))
    norm = (lambda: nn.BatchNorm2d(64)) if broken else (lambda: nn.GroupNorm(8, 64))
    layers = [nn.Conv2d(64, 64, 1), norm(), nn.ReLU(), nn.Conv2d(64, 64, 1), norm(), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), size=2, steps=500)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
