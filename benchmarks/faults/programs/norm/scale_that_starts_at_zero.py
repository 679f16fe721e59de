"""The scale of a root-mean-square norm starts at zero, as for `1 + scale`, and is applied as it is: all is zero.

Source: https://github.com/google-research/timesfm/pull/481
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "zero-scale"


class Rms(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(48) if broken else torch.ones(48))

    def forward(self, x: Tensor) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * self.scale


def make(broken: bool) -> Program:
    model, data = nn.Sequential(nn.Linear(64, 48), Rms(broken), nn.ReLU(), nn.Linear(48, 48), Rms(broken)), digits()
    model.extend([nn.ReLU(), nn.Linear(48, 10)])
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
