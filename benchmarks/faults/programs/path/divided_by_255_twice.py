"""The data set scales pixels to 0..1 and the model divides by 255 again: signals start at a hundredth of their
level."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, digits, mlp, program, sgd, wrong

CAUSE = "input-scale"


class Net(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.scale, self.body = 255.0 if broken else 1.0, mlp(64, 64, 64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x / self.scale)


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits(raw=True)
    data, model = Split(x / 16, y, x_test / 16, y_test), Net(broken)
    return program(model, data, F.cross_entropy, sgd(model, 0.05), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
