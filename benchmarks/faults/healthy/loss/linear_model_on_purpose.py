"""A linear regression: one layer, no nonlinearity, and nothing wrong with it."""

import torch.nn.functional as F
from torch import nn

from kit import Program, measured, program, sgd, unexplained


def build() -> Program:
    model, data = nn.Linear(10, 1), measured("diabetes")
    return program(model, data, F.mse_loss, sgd(model, 0.02), unexplained(model, data), steps=100)
