"""Positive and negative of a triplet loss are exchanged: samples of one class are pushed apart."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, digits, mlp, predicted, program

CAUSE = "swapped-arguments"


class Triplet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp(64, 64, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    g = torch.Generator().manual_seed(8)
    same = [(y == c).nonzero()[:, 0] for c in range(10)]
    other = [(y != c).nonzero()[:, 0] for c in range(10)]

    def pick(rows: list[Tensor], c: int) -> Tensor:
        return rows[c][torch.randint(len(rows[c]), (1,), generator=g)]

    positive = torch.cat([pick(same, int(c)) for c in y])
    negative = torch.cat([pick(other, int(c)) for c in y])
    rows = torch.stack([x, x[positive], x[negative]], 1)
    model = Triplet()

    def loss(out: Tensor, _: Tensor) -> Tensor:
        anchor, near, far = out.unbind(1)
        near, far = (far, near) if broken else (near, far)
        return F.triplet_margin_loss(anchor, near, far)

    def error() -> float:  # the nearest neighbour is of another class
        z, z_test = predicted(model, x), predicted(model, x_test)
        return float((y[torch.cdist(z_test, z).argmin(1)] != y_test).float().mean())

    return program(model, Split(rows, y, rows, y), loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
