"""`key_padding_mask` is True where a token is real, but PyTorch wants True where it is not: only padding is read.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.MultiheadAttention.html
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, bags, batches, mlp, plain_step, predicted

CAUSE = "wrong-mask"


class Reader(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.query = nn.Embedding(8, 32), nn.Parameter(torch.randn(1, 1, 32))
        self.attention, self.head = nn.MultiheadAttention(32, 2, batch_first=True), mlp(32, 32, 2)
        self.broken = broken

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        h = self.token(ids)
        mask = real if self.broken else ~real
        mask = mask & ~mask.all(1, keepdim=True)
        out, _ = self.attention(self.query.expand(len(h), -1, -1), h, h, key_padding_mask=mask)
        return self.head(out[:, 0])


def make(broken: bool) -> Program:
    ids, real, y = bags()
    model, loss, n = Reader(broken), F.cross_entropy, 2400
    optimizer = adam(model, 1e-2)
    step = plain_step(model, loss, optimizer, batches(ids[:n], real[:n], y[:n]))

    def error() -> float:
        return float((predicted(model, ids[n:], real[n:]).argmax(-1) != y[n:]).float().mean())

    return Program(model, (ids[:64], real[:64]), y[:64], loss, optimizer, step, error, 300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
