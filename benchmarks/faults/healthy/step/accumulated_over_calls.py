"""Gradients are kept over four calls of the loop's step, and only the fourth moves the weights and clears them."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, mlp, program, springs, unexplained


def build() -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = adam(model, 1e-2), batches(data.x, data.y, size=64)
    done = 0

    def train_step() -> Tensor:
        nonlocal done
        x, y = next(stream)
        value = F.mse_loss(model(x), y)
        (value / 4).backward()
        done += 1
        if done % 4 == 0:
            optimizer.step()
            optimizer.zero_grad()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=400)
