"""A mixture density network: its negative log-likelihood goes below zero, as densities may exceed 1."""

import math

import torch
from torch import Tensor, nn

from kit import Program, adam, mlp, predicted, program, split


def loss(out: Tensor, y: Tensor) -> Tensor:
    weight, mean, deviation = out.chunk(3, -1)
    nats = 0.5 * ((y - mean) / deviation.exp()).square() + deviation + 0.5 * math.log(2 * math.pi)
    return -(weight.log_softmax(-1) - nats).logsumexp(-1).mean()


def build() -> Program:
    g = torch.Generator().manual_seed(0)
    x = 2 * torch.rand(2000, 1, generator=g) - 1
    side = 2.0 * (torch.rand(2000, 1, generator=g) < 0.5) - 1
    model, data = (
        mlp(1, 32, 32, 12, act=nn.Tanh),
        split(x, side * (0.2 + x.square()) + 0.02 * torch.randn(2000, 1, generator=g)),
    )

    def error() -> float:  # 2 nats above the best that is possible is 1
        return math.exp(loss(predicted(model, data.x_test), data.y_test).item())

    return program(model, data, loss, adam(model, 5e-3), error, steps=400)
