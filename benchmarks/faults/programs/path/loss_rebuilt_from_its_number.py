"""The loss is wrapped in `torch.tensor(loss.item(), requires_grad=True)` to silence an error: no weight hears it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "cut-path"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()

    def loss(out: Tensor, y: Tensor) -> Tensor:
        value = F.cross_entropy(out, y)
        return torch.tensor(value.item(), requires_grad=True) if broken else value

    return program(model, data, loss, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
