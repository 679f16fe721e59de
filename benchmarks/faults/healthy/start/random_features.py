"""Random Fourier features in a buffer, never trained, feed one linear layer.

Source: https://papers.nips.cc/paper/2007/hash/013a006f03dbc5392effeb8f18fda755-Abstract.html
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("wave", torch.randn(64, 256) * 0.1)
        self.register_buffer("phase", 2 * math.pi * torch.rand(256))
        self.head = nn.Linear(256, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head((x @ self.wave + self.phase).cos())


def build() -> Program:
    model, data = Features(), digits()
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data))
