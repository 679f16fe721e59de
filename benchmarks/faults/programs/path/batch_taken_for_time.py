"""An LSTM without `batch_first` reads a batch [N, T, F] as N steps: each sample is told by the samples before it.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.LSTM.html
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "rows-mix"


class Reader(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 32, batch_first=not broken), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        h, _ = self.lstm(x)
        return self.head(h[:, -1])


def make(broken: bool) -> Program:
    model, data = Reader(broken), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
