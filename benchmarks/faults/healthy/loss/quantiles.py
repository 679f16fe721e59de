"""Three quantiles by the pinball loss: the lowest output learns ten times slower from samples above it."""

import torch
from torch import Tensor

from kit import Program, Split, adam, mlp, predicted, program, springs

LEVELS = torch.tensor([0.1, 0.5, 0.9])


def loss(out: Tensor, y: Tensor) -> Tensor:
    gap = y - out
    return torch.maximum(LEVELS * gap, (LEVELS - 1) * gap).mean()


def build() -> Program:
    model, (x, y, x_test, y_test) = mlp(12, 64, 3), springs()
    data = Split(x, y[:, :1], x_test, y_test[:, :1])

    def error() -> float:
        return loss(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, loss, adam(model), error, steps=300)
