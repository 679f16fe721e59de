"""Forget gates of an LSTM start with a bias of -6: the state is wiped at every step and remembers nothing.

Source: https://proceedings.mlr.press/v37/jozefowicz15.html (on the bias of the forget gate)
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, remembered, wrong

CAUSE = "forget-gate"


class Reader(nn.Module):
    def __init__(self, bias: float) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(6, 32, batch_first=True), nn.Linear(32, 4)
        self.lstm.bias_ih_l0.data[32:64] = bias

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.lstm(x)
        return self.head(h[:, -1])


def make(broken: bool) -> Program:
    model, data = Reader(-6.0 if broken else 2.0), remembered()
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
