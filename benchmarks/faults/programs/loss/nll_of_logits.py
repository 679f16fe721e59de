"""`nll_loss` is given raw logits: it has no floor, and the logits grow without end instead of telling classes apart.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.NLLLoss.html (the input holds log-probabilities)
"""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "no-log-probabilities"


def make(broken: bool) -> Program:
    model = mlp(64, 64, 10, end=None if broken else nn.LogSoftmax(-1))
    return program(model, digits(), F.nll_loss, adam(model), wrong(model, digits()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
