"""A network is trained from scratch at 2e-5, the rate of a fine-tuning recipe: little has moved when it ends."""

import torch.nn.functional as F

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "rate-too-low"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 64, 10), digits()
    return program(model, data, F.cross_entropy, adam(model, 2e-5 if broken else 2e-3), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
