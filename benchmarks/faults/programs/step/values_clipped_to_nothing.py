"""Each entry of the gradient is clipped at 0.00001, and plain descent takes what is left."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, digits, sgd, wrong

CAUSE = "clip-too-tight"


def make(broken: bool) -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer, feed = sgd(model, 0.1), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(feed)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        nn.utils.clip_grad_value_(model.parameters(), 1e-5 if broken else 1.0)
        optimizer.step()
        return value.detach()

    return Program(model, data.x[:64], data.y[:64], F.cross_entropy, optimizer, train_step, wrong(model, data), 200)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
