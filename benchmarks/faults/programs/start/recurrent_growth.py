"""A recurrent network of rectifiers starts at one and a half times the identity: its state grows two hundredfold."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "exploding-start"


class Chain(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.cell, self.head = nn.RNN(2, 48, nonlinearity="relu", batch_first=True), nn.Linear(48, 10)
        nn.init.eye_(self.cell.weight_hh_l0)
        with torch.no_grad():
            self.cell.weight_hh_l0.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


def make(broken: bool) -> Program:
    data, model = digits((32, 2)), Chain(1.5 if broken else 0.95)
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
