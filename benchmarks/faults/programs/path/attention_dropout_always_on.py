"""`scaled_dot_product_attention` gets its `dropout_p` also in evaluation, where the weights should be whole.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program, wrong

CAUSE = "dropout-in-evaluation"


class Attended(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.place = nn.Linear(8, 32), nn.Parameter(torch.randn(8, 32) / 2)
        self.key, self.value, self.query = nn.Linear(32, 32), nn.Linear(32, 32), nn.Parameter(torch.randn(4, 32))
        self.head, self.broken = nn.Linear(128, 10), broken

    def forward(self, x: Tensor) -> Tensor:
        h = (self.token(x) + self.place).relu()
        p = 0.5 if self.broken or self.training else 0.0
        query = self.query.expand(len(h), -1, -1)
        return self.head(F.scaled_dot_product_attention(query, self.key(h), self.value(h), dropout_p=p).flatten(1))


def make(broken: bool) -> Program:
    model, data = Attended(broken), digits((8, 8))
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=500)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
