"""A recurrent ReLU network whose recurrent weights start as the identity.

Source: https://arxiv.org/abs/1504.00941
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.RNN(8, 48, nonlinearity="relu", batch_first=True), nn.Linear(48, 10)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.normal_(self.rnn.weight_ih_l0, 0, 0.1)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        nn.init.zeros_(self.rnn.bias_ih_l0)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.rnn(x)
        return self.head(h[:, -1])


def build() -> Program:
    model, data = Reader(), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=250)
