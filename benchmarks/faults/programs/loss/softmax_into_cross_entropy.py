"""The network ends in a softmax and `cross_entropy` takes another one, so the loss cannot come near zero.

Source: https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html (the input is unnormalized logits)
"""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "squashed-twice"


def make(broken: bool) -> Program:
    model = mlp(64, 64, 64, 10, end=nn.Softmax(-1) if broken else None)
    return program(model, digits(), F.cross_entropy, sgd(model, 0.05), wrong(model, digits()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
