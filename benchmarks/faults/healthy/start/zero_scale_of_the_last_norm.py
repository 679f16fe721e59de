"""A residual network whose last normalization of each branch has scale 0, as large-batch recipes advise.

Source: https://arxiv.org/abs/1706.02677
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, digits, program, sgd, wrong


class Branch(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        conv = [nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(2)]
        self.body = nn.Sequential(conv[0], nn.BatchNorm2d(width), nn.ReLU(), conv[1], nn.BatchNorm2d(width))
        nn.init.zeros_(self.body[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.body(x)).relu()


def build() -> Program:
    stem = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    model = nn.Sequential(*stem, *(Branch(16) for _ in range(3)), nn.Flatten(), nn.Linear(256, 10))
    data = digits((1, 8, 8))
    return program(model, data, F.cross_entropy, sgd(model, 0.05), wrong(model, data), steps=100)
