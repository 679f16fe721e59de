"""The norm is clipped right after `zero_grad`, when there is nothing to clip; the gradient that follows is whole."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, batches, mlp, program, sgd, springs, unexplained

CAUSE = "clip-order"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = springs()
    data, model = Split(x, 30 * y, x_test, 30 * y_test), mlp(12, 64, 64, 6)
    optimizer, stream = sgd(model, 0.05), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        if broken:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        value = F.mse_loss(model(x), y)
        value.backward()
        if not broken:
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step, steps=400)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
