"""Prediction and label change places in a cross-entropy written by hand, which is linear in the prediction then."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, digits, mlp, predicted, program

CAUSE = "swapped-arguments"


def binary_cross_entropy(p: Tensor, y: Tensor) -> Tensor:
    return -(y * (p + 1e-7).log() + (1 - y) * (1 - p + 1e-7).log()).mean()


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    data = Split(x, F.one_hot(y, 10).float(), x_test, F.one_hot(y_test, 10).float())
    model = mlp(64, 64, 10, end=nn.Sigmoid())
    loss = (lambda p, y: binary_cross_entropy(y, p)) if broken else binary_cross_entropy

    def error() -> float:
        return binary_cross_entropy(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
