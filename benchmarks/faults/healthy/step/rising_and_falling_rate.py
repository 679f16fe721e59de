"""One cycle of the rate: from a 25th of its peak up, and down to nothing after the steps that are made."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, digits, wrong


def build() -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, feed = torch.optim.SGD(model.parameters(), 0.02, 0.9, nesterov=True), batches(data.x, data.y)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=220)

    def train_step() -> Tensor:
        x, y = next(feed)
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        cycle.step()
        optimizer.zero_grad(set_to_none=True)
        return value.detach()

    return Program(model, data.x[:64], data.y[:64], F.cross_entropy, optimizer, train_step, wrong(model, data), 200)
