"""An autoencoder through two numbers, with tied weights: the bottleneck is what it is for."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, digits, program, unexplained


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 48), nn.Linear(48, 2)
        self.back = nn.ParameterList([nn.Parameter(torch.zeros(48)), nn.Parameter(torch.zeros(64))])

    def forward(self, x: Tensor) -> Tensor:
        z = self.second(self.first(x).tanh())
        h = F.linear(z, self.second.weight.T, self.back[0]).tanh()
        return F.linear(h, self.first.weight.T, self.back[1])


def build() -> Program:
    x, _, x_test, _ = digits()
    model, data = Narrow(), Split(x, x, x_test, x_test)
    return program(model, data, F.mse_loss, adam(model, 5e-3), unexplained(model, data), steps=300)
