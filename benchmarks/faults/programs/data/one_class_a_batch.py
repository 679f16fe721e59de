"""The rows come sorted by class and nothing shuffles them: each batch holds one class, and the last one wins."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, digits, mlp, program, sgd, wrong

CAUSE = "one-class-batches"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    order = y.argsort(stable=True)
    data, model = Split(x[order], y[order], x_test, y_test) if broken else digits(), mlp(64, 64, 10)
    optimizer, place = sgd(model, 0.05), 0

    def train_step() -> Tensor:
        nonlocal place
        some = torch.arange(place, place + 64) % len(x)
        place = (place + 64) % len(x)
        optimizer.zero_grad()
        value = F.cross_entropy(model(data.x[some]), data.y[some])
        value.backward()
        optimizer.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
