"""Adam adds weight decay 0.3 to the gradient, where it is rescaled with it, instead of AdamW's decoupled decay.

Source: https://arxiv.org/abs/1711.05101
"""

import torch
import torch.nn.functional as F

from kit import Program, mlp, program, springs, unexplained

CAUSE = "term-outweighs"


def make(broken: bool) -> Program:
    model, data = mlp(12, 64, 64, 6), springs()
    kind = torch.optim.Adam if broken else torch.optim.AdamW
    optimizer = kind(model.parameters(), 3e-3, weight_decay=0.3)
    return program(model, data, F.mse_loss, optimizer, unexplained(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
