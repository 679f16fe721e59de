"""A mask that is 0 and 1 already is divided by 255 like the picture: the target is nearly 0 everywhere."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, UNet, adam, discs, program, wrong

CAUSE = "scaled-labels"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = discs()
    data, model = Split(x, y / 255 if broken else y, x_test, y_test), UNet()

    def decide(out: Tensor) -> Tensor:
        return (out > 0).float()

    return program(
        model, data, F.binary_cross_entropy_with_logits, adam(model), wrong(model, data, decide), size=32, steps=100
    )


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
