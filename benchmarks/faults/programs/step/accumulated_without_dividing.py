"""Gradients of 32 small batches are added up, not averaged: the rate is effectively 32 times the one that was
tuned."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, batches, mlp, program, sgd, springs, unexplained

CAUSE = "rate-too-high"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = sgd(model, 0.1), batches(data.x, data.y, size=16)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for _ in range(32):
            x, y = next(stream)
            value = F.mse_loss(model(x), y)
            (value if broken else value / 32).backward()
            total += value.detach() / 32
        optimizer.step()
        return total

    error = unexplained(model, data)
    return program(model, data, F.mse_loss, optimizer, error, train_step=train_step, size=64, steps=60)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
