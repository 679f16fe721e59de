"""The recurrent weights of a tanh network have spectral radius 4: its state soon is saturated and chaotic."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "saturated-start"


def make(broken: bool) -> Program:
    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = nn.RNN(8, 64, batch_first=True), nn.Linear(64, 10)
            nn.init.normal_(self.rnn.weight_hh_l0, 0, 0.5) if broken else nn.init.orthogonal_(self.rnn.weight_hh_l0)

        def forward(self, x: Tensor) -> Tensor:
            h, _ = self.rnn(x)
            return self.head(h[:, -1])

    model, data = Reader(), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model, 1e-3), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
