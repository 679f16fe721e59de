"""`nll_loss` is given the softmax without its logarithm: a sample that is quite wrong has no gradient left."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "no-log-probabilities"


def make(broken: bool) -> Program:
    model = mlp(64, 64, 64, 10, end=nn.Softmax(-1) if broken else nn.LogSoftmax(-1))
    return program(model, digits(), F.nll_loss, sgd(model, 0.05), wrong(model, digits()), steps=120)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
