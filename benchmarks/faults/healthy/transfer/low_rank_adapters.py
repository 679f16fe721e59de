"""Adapters with a zero factor beside frozen weights: their first gradient reaches one factor only, and that is meant.

Source: https://arxiv.org/abs/2106.09685
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, digits, program, wrong


class Adapted(nn.Module):
    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 2 * self.up(self.down(x))


def build() -> Program:
    first, second = nn.Linear(64, 32).requires_grad_(False), [nn.Linear(32, 32) for _ in range(2)]
    model = nn.Sequential(
        first, nn.ReLU(), Adapted(second[0]), nn.ReLU(), Adapted(second[1]), nn.ReLU(), nn.Linear(32, 10)
    )
    data = digits()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 5e-3)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data))
