"""A normalization written by hand divides by the statistics of the batch at hand, also where one sample is alone."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, predicted, program

CAUSE = "rows-mix"


class Standardize(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.axis = 0 if broken else -1

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, self.axis, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt()


def make(broken: bool) -> Program:
    data = digits()
    model = nn.Sequential(
        nn.Linear(64, 64),
        Standardize(broken),
        nn.ReLU(),
        nn.Linear(64, 64),
        Standardize(broken),
        nn.ReLU(),
        nn.Linear(64, 10),
    )

    def error() -> float:
        said = torch.cat([predicted(model, row[None]).argmax(-1) for row in data.x_test])
        return float((said != data.y_test).float().mean())

    return program(model, data, F.cross_entropy, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
