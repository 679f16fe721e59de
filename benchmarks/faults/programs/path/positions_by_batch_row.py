"""Codes of positions are cut by the first axis, which is the batch: all positions of a sample get the same code."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, split, wrong

CAUSE = "scrambled-layout"


class Ordered(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken, self.token, self.head = broken, nn.Embedding(12, 32), nn.Linear(32, 2)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, 0.0, batch_first=True, norm_first=True)
        angle = torch.arange(4096.0)[:, None] / 10 ** torch.linspace(0, 3, 16)
        self.register_buffer("code", torch.cat([angle.sin(), angle.cos()], 1)[:, None])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.token(ids)
        x = x + (self.code[: x.shape[0]] if self.broken else self.code[: x.shape[1], 0])
        return self.head(self.layer(x).mean(1))


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(21)
    ids = torch.randint(2, 12, (2400, 10), generator=g)
    spots = torch.stack([torch.randperm(10, generator=g)[:2] for _ in range(2400)])
    ids.scatter_(1, spots[:, :1], 0).scatter_(1, spots[:, 1:], 1)
    data, model = split(ids, (spots[:, 0] < spots[:, 1]).long()), Ordered(broken)  # does 0 come before 1?
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
