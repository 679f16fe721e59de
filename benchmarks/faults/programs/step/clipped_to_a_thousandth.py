"""The norm of the gradient is clipped to 0.001 although it is about 1: every step has a thousandth of its length."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, mlp, program, sgd, springs, unexplained

CAUSE = "clip-too-tight"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = sgd(model, 0.05), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.mse_loss(model(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3 if broken else 1.0)
        optimizer.step()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
