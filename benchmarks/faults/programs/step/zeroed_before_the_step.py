"""`zero_grad` stands between `backward` and `step`: the optimizer never sees a gradient."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, digits, mlp, program, wrong

CAUSE = "no-step"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    optimizer, stream = adam(model), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        value = F.cross_entropy(model(x), y)
        if not broken:
            optimizer.zero_grad()
        value.backward()
        if broken:
            optimizer.zero_grad()
        optimizer.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
