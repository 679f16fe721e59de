"""Raw measurements in their own units go through a batch normalization first, which is there for that."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, measured, mlp, program, wrong


def build() -> Program:
    model, data = nn.Sequential(nn.BatchNorm1d(13), *mlp(13, 32, 3)), measured("wine", raw=True)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), size=32)
