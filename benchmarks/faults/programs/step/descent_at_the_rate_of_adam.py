"""Plain descent keeps the 1e-4 that Adam was run with: without Adam's scaling the steps are too small by orders."""

import torch.nn.functional as F

from kit import Program, mlp, program, sgd, springs, unexplained

CAUSE = "rate-too-low"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer = sgd(model, 1e-4 if broken else 0.1, 0.0)
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data), steps=400)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
