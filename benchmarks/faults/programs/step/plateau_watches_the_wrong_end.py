"""A schedule that waits for the loss to rise halves the rate at every step on which it does not."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, digits, wrong

CAUSE = "falling-rate"


def make(broken: bool) -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer, feed = adam(model, 1e-3), batches(data.x, data.y)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max" if broken else "min", factor=0.5, patience=0 if broken else 50
    )

    def train_step() -> Tensor:
        x, y = next(feed)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        plateau.step(value.item())
        return value.detach()

    return Program(model, data.x[:64], data.y[:64], F.cross_entropy, optimizer, train_step, wrong(model, data), 200)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
