"""A batch [N, T, F] is brought to [T, N, F] by `view`: the steps of a sequence come from different samples."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, remembered, wrong

CAUSE = "rows-mix"


class Reader(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.gru, self.head, self.broken = nn.GRU(6, 32), nn.Linear(32, 4), broken

    def forward(self, x: Tensor) -> Tensor:
        n, t, f = x.shape
        x = x.view(t, n, f) if self.broken else x.transpose(0, 1)
        h, _ = self.gru(x)
        return self.head(h[-1])


def make(broken: bool) -> Program:
    model, data = Reader(broken), remembered()
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
