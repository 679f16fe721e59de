"""Plain descent written out: `p = p - rate * p.grad` gives a name another tensor and leaves the parameter."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, digits, sgd, wrong

CAUSE = "no-step"


def make(broken: bool) -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    feed = batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(feed)
        model.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        with torch.no_grad():
            for p in model.parameters():
                if broken:
                    p = p - 0.2 * p.grad
                else:
                    p -= 0.2 * p.grad
        return value.detach()

    return Program(
        model, data.x[:64], data.y[:64], F.cross_entropy, sgd(model, 0.2), train_step, wrong(model, data), 200
    )


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
