"""The rows are shuffled and the labels are not: what is learned does not belong to what is seen."""

import torch
import torch.nn.functional as F

from kit import Program, Split, adam, digits, mlp, program, wrong

CAUSE = "mismatched-labels"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = digits()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    data, model = Split(x[order], y if broken else y[order], x_test, y_test), mlp(64, 64, 10)
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
