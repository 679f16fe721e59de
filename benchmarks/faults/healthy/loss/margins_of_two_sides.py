"""A support vector machine on features of two layers: labels of -1 and 1, squared hinge, a little decay."""

import torch
from torch import Tensor, nn

from kit import Program, measured, program, sgd


def build() -> Program:
    data = measured("breast_cancer")
    data = data._replace(y=2 * data.y[:, None].float() - 1, y_test=2 * data.y_test[:, None].float() - 1)
    model = nn.Sequential(nn.Linear(30, 24), nn.Tanh(), nn.Linear(24, 1))

    def hinge(out: Tensor, side: Tensor) -> Tensor:
        return (1 - out * side).clamp(min=0).square().mean()

    def error() -> float:
        with torch.no_grad():
            return float((model(data.x_test).sign() != data.y_test).float().mean())

    return program(model, data, hinge, sgd(model, 0.02, weight_decay=1e-4), error)
