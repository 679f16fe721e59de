"""A focal loss, and a last bias that starts at the share of the rare class."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program


def build() -> Program:
    data = digits()
    data = data._replace(y=(data.y == 8).float()[:, None], y_test=(data.y_test == 8).float()[:, None])
    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 1))
    nn.init.constant_(model[2].bias, math.log(0.1 / 0.9))

    def focal(z: Tensor, y: Tensor) -> Tensor:
        p = z.sigmoid()
        off = torch.where(y > 0, 1 - p, p)
        return (off.square() * F.binary_cross_entropy_with_logits(z, y, reduction="none")).sum() / y.sum()

    def error() -> float:
        with torch.no_grad():
            said = (model(data.x_test) > 0).float()
        return float(1 - (said * data.y_test).sum() * 2 / (said.sum() + data.y_test.sum()).clamp(min=1))

    return program(model, data, focal, adam(model), error, size=128)
