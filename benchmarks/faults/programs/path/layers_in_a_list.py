"""The layers stand in a Python list: they are no parameters of the model, and the optimizer never sees them.

Source: https://github.com/kymatio/murenn/issues/42
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, springs, unexplained

CAUSE = "unregistered"


class Net(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        layers = [nn.Sequential(nn.Linear(24 if i else 12, 24), nn.ReLU()) for i in range(4)]
        self.layers = layers if broken else nn.ModuleList(layers)
        self.head = nn.Linear(24, 6)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


def make(broken: bool) -> Program:
    model, data = Net(broken), springs()
    return program(model, data, F.mse_loss, adam(model, 1e-2), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
