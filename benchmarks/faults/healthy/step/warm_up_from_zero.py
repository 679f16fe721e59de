"""The rate climbs over 20 steps from a twentieth of its value and then falls along a cosine to zero."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, digits, mlp, program, wrong


def build() -> Program:
    model, data = mlp(64, 64, 10), digits()
    optimizer, stream = adam(model, 5e-3), batches(data.x, data.y)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: (s + 1) / 20 if s < 20 else 0.5 + 0.5 * math.cos(math.pi * min(1, (s - 20) / 180))
    )

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        schedule.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)
