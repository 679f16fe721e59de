"""Both factors of a low-rank adapter start at zero, so each waits for the other and neither gets a gradient.

Source: https://arxiv.org/abs/2106.09685 (one factor is drawn, the other zero)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, digits, mlp, program, wrong

CAUSE = "symmetric-start"


class Adapted(nn.Module):
    def __init__(self, base: nn.Linear, broken: bool) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Parameter(torch.zeros(8, base.in_features) if broken else torch.randn(8, base.in_features) / 8)
        self.b = nn.Parameter(torch.zeros(base.out_features, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + x @ self.a.T @ self.b.T


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10).requires_grad_(False), digits()
    for i in (0, 2):
        model[i] = Adapted(model[i], broken)
    model[4] = Adapted(model[4].requires_grad_(True), broken)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
