"""A float mask of ones and zeros is given where it is added to the scores: padding loses one unit of score, not all.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, bags, batches, mlp, plain_step, predicted

CAUSE = "wrong-mask"


class Reader(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.query = nn.Embedding(8, 32), nn.Parameter(torch.randn(1, 1, 1, 32))
        self.key, self.value, self.head = nn.Linear(32, 32), nn.Linear(32, 32), mlp(32, 32, 2)
        self.broken = broken

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        h = self.token(ids)[:, None]
        mask = (real.float() if self.broken else real)[:, None, None]
        query = self.query.expand(len(h), -1, -1, -1)
        return self.head(F.scaled_dot_product_attention(query, self.key(h), self.value(h), attn_mask=mask)[:, 0, 0])


def make(broken: bool) -> Program:
    ids, real, y = bags()
    model, loss, n = Reader(broken), F.cross_entropy, 2400
    optimizer = adam(model, 4e-3)
    step = plain_step(model, loss, optimizer, batches(ids[:n], real[:n], y[:n]))

    def error() -> float:
        return float((predicted(model, ids[n:], real[n:]).argmax(-1) != y[n:]).float().mean())

    return Program(model, (ids[:64], real[:64]), y[:64], loss, optimizer, step, error, 500)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
