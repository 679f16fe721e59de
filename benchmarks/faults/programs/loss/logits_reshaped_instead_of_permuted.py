"""Logits [N, C, H, W] become [N*H*W, C] by `reshape` alone, so that pixels are judged by classes of other pixels."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, UNet, adam, discs, program, wrong

CAUSE = "scrambled-layout"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = discs()
    data = Split(x, y[:, 0].long(), x_test, y_test[:, 0].long())
    model = nn.Sequential(UNet(), nn.ReLU(), nn.Conv2d(1, 2, 1))
    model[0].head = nn.Conv2d(8, 8, 1)
    model[2] = nn.Conv2d(8, 2, 1)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        rows = out.reshape(-1, 2) if broken else out.permute(0, 2, 3, 1).reshape(-1, 2)
        return F.cross_entropy(rows, y.reshape(-1))

    return program(model, data, loss, adam(model), wrong(model, data, lambda out: out.argmax(1)), size=32, steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
