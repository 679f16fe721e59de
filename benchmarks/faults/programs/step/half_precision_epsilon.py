"""Adam's epsilon of 1e-8 is 0 in half precision: where a gradient is 0, the update is 0 / 0."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, adam, digits, mlp, program, wrong

CAUSE = "rounding"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    kind = torch.float16 if broken else torch.float32
    model = mlp(64, 64, 10).to(kind)
    data = Split(x.to(kind), y, x_test.to(kind), y_test)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out.float(), y)

    return program(model, data, loss, adam(model), wrong(model, data), steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
