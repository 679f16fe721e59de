"""Descent with momentum 0.9 at a rate of 2: effectively 20, far beyond what the curvature bears."""

import torch.nn.functional as F

from kit import Program, digits, mlp, program, sgd, wrong

CAUSE = "rate-too-high"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    return program(model, data, F.cross_entropy, sgd(model, 2.0 if broken else 0.02), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
