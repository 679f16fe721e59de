"""Dropout of one half in two layers and in front of the head, off in evaluation."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, program, wrong


def build() -> Program:
    layers = [nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 128), nn.ReLU(), nn.Dropout(0.5)]
    model, data = nn.Sequential(*layers, nn.Linear(128, 10)), digits()
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))
