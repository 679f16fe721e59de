"""Cosines between two views are multiplied by the temperature of 0.07 instead of divided by it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, predicted

CAUSE = "unreachable-targets"


class Views(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.net, self.factor = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 24)), factor

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return F.normalize(self.net(a), dim=-1) @ F.normalize(self.net(b), dim=-1).T * self.factor


def make(broken: bool) -> Program:
    data, model = digits(), Views(0.07 if broken else 1 / 0.07)
    optimizer, g = adam(model, 1e-3), torch.Generator().manual_seed(9)

    def views(x: Tensor, n: int = 64) -> tuple[Tensor, Tensor]:
        x = x[torch.randperm(len(x), generator=g)[:n]]
        return tuple(x * (torch.rand(x.shape, generator=g) > 0.4) for _ in range(2))  # type: ignore[return-value]

    def loss(scores: Tensor, number: Tensor) -> Tensor:
        return (F.cross_entropy(scores, number) + F.cross_entropy(scores.T, number)) / 2

    def train_step() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(*views(data.x)), torch.arange(64))
        value.backward()
        optimizer.step()
        return value.detach()

    def error() -> float:
        return float((predicted(model, *views(data.x_test, 200)).argmax(1) != torch.arange(200)).float().mean())

    return Program(model, views(data.x), torch.arange(64), loss, optimizer, train_step, error, 400)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
