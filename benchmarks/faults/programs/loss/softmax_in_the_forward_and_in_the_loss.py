"""The model returns probabilities and a loss written by hand takes `log_softmax` of them: a softmax of a softmax."""

import torch
from torch import Tensor, nn

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "squashed-twice"


class Classifier(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.broken = mlp(64, 64, 64, 10), broken

    def forward(self, x: Tensor) -> Tensor:
        out = self.body(x)
        weight = out.exp()
        return weight / weight.sum(-1, keepdim=True) if self.broken else out


def loss(out: Tensor, y: Tensor) -> Tensor:
    one_hot = torch.zeros_like(out).scatter_(1, y[:, None], 1.0)
    return -(one_hot * (out - out.logsumexp(-1, keepdim=True))).sum(-1).mean()


def make(broken: bool) -> Program:
    model = Classifier(broken)
    return program(model, digits(), loss, sgd(model, 0.05), wrong(model, digits()))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
