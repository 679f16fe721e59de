"""The last layer of the network has a ReLU like all others: classes whose logit starts below zero get no gradient."""

import torch.nn.functional as F
from torch import nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "squashed-twice"


def make(broken: bool) -> Program:
    model = mlp(64, 64, 10, end=nn.ReLU() if broken else None)
    return program(model, digits(), F.cross_entropy, sgd(model, 0.1), wrong(model, digits()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
