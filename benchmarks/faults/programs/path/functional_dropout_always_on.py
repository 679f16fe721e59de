"""`F.dropout` is called without `training=self.training`: half of the units stay off in evaluation, others each time.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.dropout.html (training is True by default)
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "dropout-in-evaluation"


class Net(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.first, self.second, self.head, self.broken = (
            nn.Linear(64, 32),
            nn.Linear(32, 32),
            nn.Linear(32, 10),
            broken,
        )

    def forward(self, x: Tensor) -> Tensor:
        on = True if self.broken else self.training
        h = F.dropout(self.first(x).relu(), 0.5, on)
        return self.head(F.dropout(self.second(h).relu(), 0.5, on))


def make(broken: bool) -> Program:
    model, data = Net(broken), digits()
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
