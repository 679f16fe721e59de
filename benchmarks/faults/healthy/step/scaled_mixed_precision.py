"""Autocast to bfloat16 with a gradient scaler, unscaled before it is clipped: weights stay in full precision."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, digits, mlp, program, wrong


def build() -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    optimizer, stream = adam(model), batches(data.x, data.y)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = F.cross_entropy(model(x), y)
        scaler.scale(value).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)
