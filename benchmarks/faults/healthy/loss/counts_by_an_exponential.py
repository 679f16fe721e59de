"""Poisson regression: the output is the logarithm of a rate, and counts are far from standardized."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, adam, mlp, program, springs, unexplained


def build() -> Program:
    x, _y, x_test, _y_test = springs()
    g = torch.Generator().manual_seed(0)
    counts = [torch.poisson((0.8 * v[:, :1] + 1).exp(), generator=g) for v in (x, x_test)]
    model, data = mlp(12, 32, 1), Split(x, counts[0], x_test, counts[1])

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.poisson_nll_loss(out, y)

    return program(model, data, loss, adam(model), unexplained(model, data, torch.exp))
