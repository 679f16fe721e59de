"""ReZero: each branch is multiplied by a parameter that starts at 0, so all blocks start as the identity.

Source: https://arxiv.org/abs/2003.04887
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, program, springs, unexplained


class ReZero(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.gate = mlp(32, 64, 32), nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gate * self.body(x)


def build() -> Program:
    model, data = nn.Sequential(nn.Linear(12, 32), *(ReZero() for _ in range(12)), nn.Linear(32, 6)), springs()
    return program(model, data, F.mse_loss, adam(model, 3e-3), unexplained(model, data))
