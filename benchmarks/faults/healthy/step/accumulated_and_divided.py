"""Gradients of four small batches are added up, each divided by four, before one step."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, mlp, program, springs, unexplained


def build() -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = adam(model), batches(data.x, data.y, size=32)

    def train_step() -> Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for _ in range(4):
            x, y = next(stream)
            value = F.mse_loss(model(x), y) / 4
            value.backward()
            total += value.detach()
        optimizer.step()
        return total

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=150)
