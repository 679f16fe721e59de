"""`zero_grad` is missing: each step follows the sum of all gradients since the start.

Source: https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html (gradients accumulate)
"""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, batches, mlp, program, sgd, springs, unexplained

CAUSE = "kept-gradients"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = sgd(model, 0.1), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        if not broken:
            optimizer.zero_grad()
        value = F.mse_loss(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
