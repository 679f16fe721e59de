"""Features are detached in front of the head, left over from a debugging session: the body stays as it was drawn."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "cut-path"


class Net(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.head, self.broken = mlp(12, 32, 32), nn.Linear(32, 6), broken

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x).relu()
        return self.head(h.detach() if self.broken else h)


def make(broken: bool) -> Program:
    model, data = Net(broken), springs()
    return program(model, data, F.mse_loss, adam(model, 1e-2), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
