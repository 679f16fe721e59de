"""Branches that start at a ten-thousandth of their size and are left out at random for whole samples."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, digits, program, wrong


class Branch(nn.Module):
    def __init__(self, width: int, gone: float) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.scale, self.gone = nn.Parameter(torch.full((width,), 1e-4)), gone

    def forward(self, x: Tensor) -> Tensor:
        branch = self.scale * self.down(F.gelu(self.up(self.norm(x))))
        if self.training:
            branch = branch * (torch.rand(len(x), 1) > self.gone) / (1 - self.gone)
        return x + branch


def build() -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 48), *(Branch(48, 0.05 * i) for i in range(6)), nn.LayerNorm(48))
    model.append(nn.Linear(48, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.05)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data))
