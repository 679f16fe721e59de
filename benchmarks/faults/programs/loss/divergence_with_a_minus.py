"""A variational autoencoder subtracts its divergence: the further the codes run away, the smaller the loss."""

import torch
from torch import Tensor, nn

from kit import Program, adam, digits, predicted, program

CAUSE = "ascent"


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.mean, self.spread = nn.Linear(64, 64), nn.Linear(64, 6), nn.Linear(64, 6)
        self.out = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.into(x).relu()
        mean, spread = self.mean(h), self.spread(h)
        code = mean + torch.randn_like(mean) * (0.5 * spread).exp() if self.training else mean
        return self.out(code), mean, spread


def make(broken: bool) -> Program:
    data, model = digits(), Coder()
    data = data._replace(y=data.x, y_test=data.x_test)

    def loss(parts: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        made, mean, spread = parts
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        fit = (made - x).square().sum(1).mean()
        return fit - divergence if broken else fit + divergence

    def error() -> float:
        made, mean, spread = predicted(model, data.x_test)
        if not made.isfinite().all():
            return float("inf")
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).sum(1).mean()
        return float((made - data.x_test).square().sum(1).mean() + divergence.clamp(max=1e6)) / 64

    return program(model, data, loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
