"""A frozen backbone whose batch normalization is kept in evaluation mode on purpose, and a fresh head that trains."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, other_digits, pretrained, program, wrong


def build() -> Program:
    model, data = pretrained(), other_digits()
    body = model[:-1].requires_grad_(False).eval()
    optimizer, stream = adam(model[-1], 1e-2), batches(data.x, data.y)

    def train_step() -> Tensor:
        model.train()
        body.eval()
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step, steps=100)
