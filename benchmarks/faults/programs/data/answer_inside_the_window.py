"""Windows of a series end one step late: the last value of the input is the one that is to be foretold."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, program

CAUSE = "future-leak"


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(31)
    t = torch.arange(3000.0)
    series = (t / 7).sin() + (t / 3.1).cos() + 0.15 * torch.randn(3000, generator=g)
    windows = series.unfold(0, 17, 1)
    inputs = windows[:, 1:] if broken else windows[:, :-1]
    target, cut = windows[:, -1:], 2000
    data = Split(inputs[:cut], target[:cut], windows[cut:, :-1], target[cut:])  # what is known when it is used
    model = nn.Sequential(nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 1))

    def error() -> float:
        with torch.no_grad():
            out: Tensor = model(data.x_test)
        return float((out - data.y_test).square().mean() / data.y_test.var())

    return program(model, data, F.mse_loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
