"""Frozen input, reentrant checkpoints: no input of a block asks for a gradient, so the adapters inside get none.

Source: https://docs.pytorch.org/docs/stable/checkpoint.html (the reentrant variant needs an input that requires it)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from kit import Program, digits, program, wrong

CAUSE = "cut-path"


class Adapted(nn.Module):
    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.down = base, nn.Linear(base.in_features, 8, bias=False)
        self.up = nn.Linear(8, base.out_features, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        return (self.base(x) + self.up(self.down(x))).relu()


class Tuned(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        base = nn.ModuleList(nn.Linear(64, 64) for _ in range(3)).requires_grad_(False)
        self.blocks, self.head, self.broken = nn.ModuleList(Adapted(b) for b in base), nn.Linear(64, 10), broken

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.broken)
        return self.head(x)


def make(broken: bool) -> Program:
    model, data = Tuned(broken), digits()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
