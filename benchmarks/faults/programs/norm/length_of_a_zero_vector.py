"""Padded items are exactly zero and are divided by their length: the forward pass is clamped, the backward is NaN.

Source: https://github.com/keras-team/keras/issues/23075
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, bags, batches, mlp, plain_step, predicted

CAUSE = "non-finite-gradient"


class Items(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.head, self.broken = nn.Embedding(8, 16), mlp(16, 32, 2), broken

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        h = self.token(ids) * real[..., None]
        square = h.square().sum(-1, keepdim=True)
        square = square if self.broken else square + 1e-12
        return self.head((h * square.rsqrt().clamp(max=1e6)).sum(1))


def make(broken: bool) -> Program:
    ids, real, y = bags()
    model, loss, n = Items(broken), F.cross_entropy, 2400
    optimizer = adam(model, 1e-2)
    step = plain_step(model, loss, optimizer, batches(ids[:n], real[:n], y[:n]))

    def error() -> float:
        out = predicted(model, ids[n:], real[n:])
        return float((out.argmax(-1) != y[n:]).float().mean()) if out.isfinite().all() else math.inf

    return Program(model, (ids[:64], real[:64]), y[:64], loss, optimizer, step, error, 100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
