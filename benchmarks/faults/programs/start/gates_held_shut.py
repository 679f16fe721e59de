"""Highway gates start with a bias of -12: sigmoid(-12) lets six millionths through, and as little gradient back."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, springs, unexplained

CAUSE = "saturated-start"


class Gated(nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
        nn.init.constant_(self.gate.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).sigmoid() * self.value(x).tanh()


def make(broken: bool) -> Program:
    bias = -12.0 if broken else 0.0
    model, data = nn.Sequential(nn.Linear(12, 32), Gated(bias), Gated(bias), nn.Linear(32, 6)), springs()
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
