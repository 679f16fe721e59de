"""Six accelerations are given to `cross_entropy`, which takes them for the probabilities of six classes."""

import torch.nn.functional as F

from kit import Program, adam, mlp, program, springs, unexplained

CAUSE = "wrong-kind-of-loss"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    loss = F.cross_entropy if broken else F.mse_loss
    return program(model, data, loss, adam(model), unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
