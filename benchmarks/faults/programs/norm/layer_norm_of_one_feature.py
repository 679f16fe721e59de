"""A layer normalization over the last axis of [N, 1] stands behind the output of a regression: it returns its bias."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, measured, mlp, program, unexplained

CAUSE = "constant-normalization"


def make(broken: bool) -> Program:
    model, data = mlp(10, 32, 1), measured("diabetes")
    if broken:
        model.append(nn.LayerNorm(1))
    return program(model, data, F.mse_loss, adam(model, 1e-2), unexplained(model, data), steps=60)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
