"""Ten sigmoids feed a cross-entropy over ten classes: a logit cannot leave 0..1, a probability cannot pass 0.23."""

import torch.nn.functional as F
from torch import nn

from kit import Program, adam, digits, mlp, predicted, program

CAUSE = "squashed-twice"


def make(broken: bool) -> Program:
    model = mlp(64, 64, 64, 10, end=nn.Sigmoid() if broken else None)
    data = digits()

    def error() -> float:  # the nats of the class that was right
        return F.cross_entropy(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, F.cross_entropy, adam(model, 1e-3), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
