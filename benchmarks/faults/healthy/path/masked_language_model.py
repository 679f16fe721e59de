"""Fifteen of a hundred letters are hidden and are the only ones with a label; all other labels are -100."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import VOCABULARY, Attention, Gpt, Program, adam, batches, plain_step, predicted, text

HIDDEN = VOCABULARY - 1


def build() -> Program:
    ids, test = text()
    g = torch.Generator().manual_seed(0)
    hide, hide_test = torch.rand(ids.shape, generator=g) < 0.15, torch.rand(test.shape, generator=g) < 0.15
    model = Gpt(lambda: Attention(48), depth=1)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out.flatten(0, 1), y.flatten())

    optimizer = adam(model)
    x, y = ids.masked_fill(hide, HIDDEN), ids.masked_fill(~hide, -100)
    step = plain_step(model, loss, optimizer, batches(x, y, size=32))

    def error() -> float:
        out = predicted(model, test.masked_fill(hide_test, HIDDEN))
        return math.exp(loss(out, test.masked_fill(~hide_test, -100)).item())

    return Program(model, x[:32], y[:32], loss, optimizer, step, error, 250)
