"""The loss is summed over the batch on purpose, and the rate is 64 times smaller for it."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, digits, mlp, program, sgd, wrong


def build() -> Program:
    model, data = mlp(64, 64, 10), digits()

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out, y, reduction="sum")

    return program(model, data, loss, sgd(model, 0.05 / 64), wrong(model, data))
