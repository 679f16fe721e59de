"""The warm-up factor is `step // warmup`, an integer that is 0 until the warm-up is over: the rate stays at zero."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, digits, mlp, program, wrong

CAUSE = "no-step"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    optimizer, stream, warmup = adam(model), batches(data.x, data.y), 1000
    ramp = (lambda s: min(1, s // warmup)) if broken else (lambda s: min(1.0, (s + 1) / 20))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, ramp)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        schedule.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
