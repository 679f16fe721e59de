"""Six convolutions without normalization start at a standard deviation of 0.001."""

from itertools import pairwise

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong

CAUSE = "collapsed-start"


def make(broken: bool) -> Program:
    data, channels = digits((1, 8, 8)), [1, 12, 12, 12, 12, 12, 12]
    layers: list[nn.Module] = []
    for a, b in pairwise(channels):
        layer = nn.Conv2d(a, b, 3, padding=1)
        if broken:
            nn.init.normal_(layer.weight, 0, 1e-3)
        else:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        layers += [layer, nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(48, 10))
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=150)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
