"""A network of sets: points are read alone, averaged, and what is read of the average is wanted."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, split, unexplained


class Sets(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.point = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64))
        self.whole = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, points: Tensor) -> Tensor:
        return self.whole(self.point(points).mean(1))


def build() -> Program:
    g = torch.Generator().manual_seed(41)
    size = 0.5 + torch.rand(2000, 1, 2, generator=g)
    points = size * torch.randn(2000, 20, 2, generator=g)
    area = points.std(1).prod(1, keepdim=True)
    data, model = split(points, (area - area.mean()) / area.std()), Sets()
    return program(model, data, F.mse_loss, adam(model), unexplained(model, data))
