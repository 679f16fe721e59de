"""A segmentation head ends in a sigmoid, and loss and evaluation apply their own: no pixel falls below one half.

Source: https://github.com/hustvl/YOLOP/issues/141
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, UNet, adam, discs, program, wrong

CAUSE = "squashed-twice"


def make(broken: bool) -> Program:
    model, data = UNet(nn.Sigmoid() if broken else None), discs()

    def decide(out: Tensor) -> Tensor:
        return (out.sigmoid() > 0.5).float()

    loss = F.binary_cross_entropy_with_logits
    return program(model, data, loss, adam(model), wrong(model, data, decide), size=32, steps=120)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
