"""The norm is clipped while the gradient is scaled by 65,536 and unscaled after it: steps are that much smaller.

Source: https://docs.pytorch.org/docs/stable/notes/amp_examples.html (unscale first)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, mlp, program, sgd, springs, unexplained

CAUSE = "clip-order"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer, stream = sgd(model, 0.1), batches(data.x, data.y)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.mse_loss(model(x), y)
        scaler.scale(value).backward()
        if not broken:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), train_step=train_step)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
