"""A schedule meant for epochs, a tenth every ten, is stepped after every batch: after 50 steps the rate is gone."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, mlp, program, springs, unexplained

CAUSE = "falling-rate"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = adam(model), batches(data.x, data.y)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    done = 0

    def train_step() -> Tensor:
        nonlocal done
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.mse_loss(model(x), y)
        value.backward()
        optimizer.step()
        done += 1
        if broken or done % 35 == 0:  # 35 batches are an epoch
            schedule.step()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
