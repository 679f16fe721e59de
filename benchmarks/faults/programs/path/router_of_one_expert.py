"""The weight of the one expert chosen is divided by itself and always 1: the task never teaches the router to route.

Source: https://github.com/jingyaogong/minimind/issues/858
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, split, unexplained

CAUSE = "cut-path"


class Mixture(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.router, self.broken = nn.Linear(8, 4), broken
        self.experts = nn.ModuleList(nn.Linear(8, 4) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        p = self.router(x).softmax(-1)
        weight, chosen = p.max(-1, keepdim=True)
        weight = weight / weight.sum(-1, keepdim=True) if self.broken else weight
        all_of_them = torch.stack([expert(x) for expert in self.experts], 1)
        out = all_of_them.gather(1, chosen[..., None].expand(-1, 1, 4))[:, 0] * weight
        load = F.one_hot(chosen[:, 0], 4).float().mean(0)
        return out, 4 * (load * p.mean(0)).sum()


def loss(out: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    return F.mse_loss(out[0], y) + 0.001 * out[1]


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(0)
    x, maps = torch.randn(4000, 8, generator=g), torch.randn(4, 8, 4, generator=g) / 3
    region = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    data, model = split(x, torch.einsum("ni,nij->nj", x, maps[region])), Mixture(broken)
    error = unexplained(model, data, lambda out: out[0])
    return program(model, data, loss, adam(model, 1e-2), error, size=128, steps=800)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
