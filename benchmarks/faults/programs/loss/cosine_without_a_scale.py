"""Logits are cosines, at most 1, and no scale multiplies them: the softmax over ten classes cannot pass 0.45.

Source: https://arxiv.org/abs/1704.06369 (the bound of a softmax over normalized features)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, mlp, predicted, program

CAUSE = "unreachable-targets"


class Cosine(nn.Module):
    def __init__(self, scale: float) -> None:
        super().__init__()
        self.body, self.centres, self.scale = mlp(64, 64, 32), nn.Parameter(torch.randn(10, 32)), scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(self.body(x)), F.normalize(self.centres))


def make(broken: bool) -> Program:
    model, data = Cosine(1.0 if broken else 16.0), digits()

    def error() -> float:
        return F.cross_entropy(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, F.cross_entropy, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
