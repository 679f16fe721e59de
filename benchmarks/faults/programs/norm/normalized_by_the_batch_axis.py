"""`F.layer_norm` is given a transposed tensor: it takes its statistics over the samples, not over the features."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, predicted, program

CAUSE = "rows-mix"


class Norm(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.broken = broken

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.T, (len(x),)).T if self.broken else F.layer_norm(x, (x.shape[1],))


def make(broken: bool) -> Program:
    data = digits()
    model = nn.Sequential(nn.Linear(64, 48), Norm(broken), nn.ReLU(), nn.Linear(48, 48), Norm(broken), nn.ReLU())
    model.append(nn.Linear(48, 10))

    def error() -> float:
        said = torch.cat([predicted(model, row[None]).argmax(-1) for row in data.x_test])
        return float((said != data.y_test).float().mean())

    return program(model, data, F.cross_entropy, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
