"""Ten digits are regressed as the numbers 0 to 9 by squared error, although a 7 is not between a 6 and an 8."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "wrong-kind-of-loss"


def make(broken: bool) -> Program:
    data = digits()
    if not broken:
        model = mlp(64, 64, 10)
        return program(model, data, F.cross_entropy, adam(model), wrong(model, data))
    model = mlp(64, 64, 1)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(out.squeeze(-1), y.float())

    return program(model, data, loss, adam(model), wrong(model, data, lambda out: out.round().long()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
