"""Spectral normalization of the weights and group normalization, trained with a batch of four."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong


def build() -> Program:
    wrap = nn.utils.parametrizations.spectral_norm
    layers = [wrap(nn.Conv2d(1, 16, 3, 1, 1)), nn.GroupNorm(4, 16), nn.ReLU(), wrap(nn.Conv2d(16, 16, 3, 2, 1))]
    model = nn.Sequential(*layers, nn.GroupNorm(4, 16), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10))
    data = digits((1, 8, 8))
    return program(model, data, F.cross_entropy, adam(model, 2e-3), wrong(model, data), size=4, steps=300)
