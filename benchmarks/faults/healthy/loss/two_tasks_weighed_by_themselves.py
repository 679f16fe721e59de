"""Two tasks with learned log-variances as weights: a term of the loss depends on parameters only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, program, springs, unexplained


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.place, self.total = mlp(12, 64, 64), nn.Linear(64, 5), nn.Linear(64, 1)
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.body(x).relu()
        return self.place(h), self.total(h), self.weight


def loss(out: tuple[Tensor, Tensor, Tensor], y: Tensor) -> Tensor:
    place, total, weight = out
    both = torch.stack([F.mse_loss(place, y[:, :5]), F.mse_loss(total, y[:, 5:])])
    return (both * (-weight).exp() + weight).sum()


def build() -> Program:
    model, data = Both(), springs()
    return program(
        model, data, loss, adam(model), unexplained(model, data, lambda out: torch.cat(out[:2], -1)), steps=300
    )
