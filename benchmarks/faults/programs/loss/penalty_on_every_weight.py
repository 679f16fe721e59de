"""An L1 penalty sums the absolute weights of the network without a factor: the weights go to zero, not the error."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "term-outweighs"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    factor = 1.0 if broken else 1e-5

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(out, y) + factor * sum(p.abs().sum() for p in model.parameters())

    return program(model, data, loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
