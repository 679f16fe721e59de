"""A regression learns scores of 25 to 346 as they are: steps of 0.001 do not reach even their mean in the time
given."""

import torch.nn.functional as F

from kit import Program, adam, mlp, program, split, standardized, stored, unexplained

CAUSE = "target-scale"


def make(broken: bool) -> Program:
    x, _ = stored("diabetes")
    y = stored("diabetes")[1].float()[:, None]
    data = split(standardized(x), y if broken else standardized(y))
    model = mlp(10, 32, 32, 1)
    return program(model, data, F.mse_loss, adam(model, 1e-3), unexplained(model, data), steps=120)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
