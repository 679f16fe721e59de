"""Positions are concatenated with themselves instead of with the velocities, which nothing reads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, mlp, plain_step, predicted, springs

CAUSE = "ignored-input"


class Bodies(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.place, self.speed, self.broken = nn.Linear(6, 32), nn.Linear(6, 32), broken
        self.rest = mlp(64, 64, 6)

    def forward(self, position: Tensor, velocity: Tensor) -> Tensor:
        second = position if self.broken else velocity
        return self.rest(torch.cat([self.place(position), self.speed(second)], -1).relu())


def make(broken: bool) -> Program:
    x, y, x_test, y_test = springs()
    model, loss = Bodies(broken), F.mse_loss
    optimizer = adam(model)
    step = plain_step(model, loss, optimizer, batches(x[:, :6], x[:, 6:], y))

    def error() -> float:
        return float((predicted(model, x_test[:, :6], x_test[:, 6:]) - y_test).square().mean() / y_test.var())

    return Program(model, (x[:64, :6], x[:64, 6:]), y[:64], loss, optimizer, step, error, 300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
