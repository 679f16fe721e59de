"""Coordinates become sines and cosines of fixed random frequencies up to 30, and a small network reads these."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, photo, program, unexplained


class Waves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequency", 8 * torch.randn(2, 64))
        self.net = nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, place: Tensor) -> Tensor:
        phase = place @ self.frequency
        return self.net(torch.cat([phase.sin(), phase.cos()], -1))


def build() -> Program:
    where, grey = photo()
    data, model = Split(where, grey, where, grey), Waves()
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data), size=256, steps=300)
