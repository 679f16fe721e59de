"""Adam's two betas change places: (0.999, 0.9) follows a gradient that is a thousand steps old."""

import torch.nn.functional as F

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "unusual-momentum"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer = adam(model, 1e-2, betas=(0.999, 0.9) if broken else (0.9, 0.999))
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
