"""Pictures are turned by random quarters and their masks are not: three of four targets lie somewhere else."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, UNet, adam, discs, program, wrong

CAUSE = "mismatched-labels"


def turned(pictures: Tensor, quarters: Tensor) -> Tensor:
    return torch.stack([p.rot90(int(k), (-2, -1)) for p, k in zip(pictures, quarters, strict=True)])


def make(broken: bool) -> Program:
    x, y, x_test, y_test = discs()
    quarters = torch.randint(4, (len(x),), generator=torch.Generator().manual_seed(0))
    data, model = Split(turned(x, quarters), y if broken else turned(y, quarters), x_test, y_test), UNet()
    loss = F.binary_cross_entropy_with_logits

    def decide(out: Tensor) -> Tensor:
        return (out > 0).float()

    return program(model, data, loss, adam(model), wrong(model, data, decide), size=32, steps=120)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
