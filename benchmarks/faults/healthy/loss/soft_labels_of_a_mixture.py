"""mixup and label smoothing: targets are probabilities, and the loss cannot come near zero."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, digits, mlp, program, wrong


def build() -> Program:
    model, data = mlp(64, 64, 10), digits()
    optimizer, stream, loss = adam(model), batches(data.x, data.y), nn.CrossEntropyLoss(label_smoothing=0.1)

    def train_step() -> Tensor:
        x, y = next(stream)
        share, other = torch.distributions.Beta(0.4, 0.4).sample(), torch.randperm(len(x))
        target = F.one_hot(y, 10).float()
        optimizer.zero_grad()
        value = loss(model(x.lerp(x[other], share)), target.lerp(target[other], share))
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, loss, optimizer, wrong(model, data), train_step=train_step)
