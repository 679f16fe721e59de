"""The optimizer is given the head alone, as for a pretrained body, but the body was drawn a moment ago."""

import torch.nn.functional as F

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "missing-parameters"


def make(broken: bool) -> Program:
    model, data = mlp(12, 24, 24, 6), springs()
    optimizer = adam(model[-1] if broken else model, 1e-2)
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
