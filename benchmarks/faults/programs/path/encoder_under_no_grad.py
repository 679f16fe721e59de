"""The forward pass runs the encoder under `no_grad` to save memory, although the encoder is to be trained."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "cut-path"


class Net(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.broken = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 10), broken

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.broken):
            h, _ = self.encoder(x)
        return self.head(h[:, -1])


def make(broken: bool) -> Program:
    model, data = Net(broken), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model, 1e-2), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
