"""A backbone is frozen by `requires_grad` only, and `train()` lets its normalization drift to the new pictures' levels.

Source: https://github.com/Lightning-AI/pytorch-lightning/issues/15062
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, adam, batches, digits, other_digits, predicted, pretrained, program

CAUSE = "moving-statistics"


def make(broken: bool) -> Program:
    model, (x, y, x_test, y_test) = pretrained(), other_digits()
    body = model[:-1].requires_grad_(False)
    optimizer, stream = adam(model[-1], 3e-2), batches(3 * x + 2, y, size=4)  # the new camera is brighter

    def train_step() -> Tensor:
        model.train()
        if not broken:
            body.eval()
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    def error() -> float:  # the old task, which the frozen body is kept for
        old_x, old_y, *_ = digits((1, 8, 8))
        old_x, old_y = old_x[old_y < 5], old_y[old_y < 5]
        h = predicted(body, old_x)
        head = torch.linalg.lstsq(predicted(pretrained()[:-1], old_x), F.one_hot(old_y, 5).float()).solution
        return float(((h @ head).argmax(-1) != old_y).float().mean())

    data = Split(3 * x + 2, y, x_test, y_test)
    return program(model, data, F.cross_entropy, optimizer, error, train_step=train_step, size=4, steps=150)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
