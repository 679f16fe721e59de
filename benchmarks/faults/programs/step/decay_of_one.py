"""Weight decay 1 in plain descent, copied from a recipe for AdamW: weights shrink faster than the data can lift
them."""

import torch.nn.functional as F

from kit import Program, mlp, program, sgd, springs, unexplained

CAUSE = "term-outweighs"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    optimizer = sgd(model, 0.05, weight_decay=1.0 if broken else 1e-4)
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
