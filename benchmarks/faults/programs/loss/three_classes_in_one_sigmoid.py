"""The labels 0, 1 and 2 of the wines are regressed on one sigmoid, which never reaches the third kind."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, measured, mlp, program, wrong

CAUSE = "wrong-kind-of-loss"


def make(broken: bool) -> Program:
    data = measured("wine")
    if not broken:
        model = mlp(13, 32, 3)
        return program(model, data, F.cross_entropy, adam(model), wrong(model, data))
    model = mlp(13, 32, 1, end=nn.Sigmoid())

    def loss(p: Tensor, y: Tensor) -> Tensor:
        return F.mse_loss(p[:, 0], y.float())

    return program(model, data, loss, adam(model), wrong(model, data, lambda p: p.round().long()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
