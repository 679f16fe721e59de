"""A regression by squared error with momentum: the first step is harmless, the tenth has grown past all bounds."""

import torch.nn.functional as F

from kit import Program, mlp, program, sgd, springs, unexplained

CAUSE = "rate-too-high"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer = sgd(model, 1.0 if broken else 0.05, 0.95)
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
