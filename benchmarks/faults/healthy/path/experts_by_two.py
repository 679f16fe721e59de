"""A mixture of experts with top-2 routing, renormalized weights and a balancing term: some experts rest in a batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, program, springs, unexplained


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.router, self.out = nn.Linear(12, 32), nn.Linear(32, 6, bias=False), nn.Linear(32, 6)
        self.experts = nn.ModuleList(mlp(32, 32, 32) for _ in range(6))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.into(x)
        p = self.router(h).softmax(-1)
        weight, chosen = p.topk(2, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        mixed = torch.zeros_like(h)
        for i, expert in enumerate(self.experts):
            rows, slot = (chosen == i).nonzero(as_tuple=True)
            if len(rows):
                mixed = mixed.index_add(0, rows, expert(h[rows]) * weight[rows, slot, None])
        load = F.one_hot(chosen, 6).float().sum(1).mean(0)
        return self.out(h + mixed), 3 * (load * p.mean(0)).sum()


def loss(out: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    return F.mse_loss(out[0], y) + 0.01 * out[1]


def build() -> Program:
    model, data = Mixture(), springs()
    return program(model, data, loss, adam(model), unexplained(model, data, lambda out: out[0]))
