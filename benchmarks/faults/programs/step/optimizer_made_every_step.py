"""The optimizer is made anew inside the loop: its momentum never lasts longer than one step."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, batches, mlp, program, sgd, springs, unexplained

CAUSE = "state-reset"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    kept, stream = sgd(model, 0.01, 0.95), batches(data.x, data.y)

    def train_step() -> Tensor:
        optimizer = sgd(model, 0.01, 0.95) if broken else kept
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.mse_loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, F.mse_loss, kept, unexplained(model, data), train_step=train_step, steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
