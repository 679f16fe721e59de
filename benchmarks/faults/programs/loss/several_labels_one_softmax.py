"""Five independent marks of a picture are trained by one softmax over them, and read off one by one."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, program

CAUSE = "wrong-kind-of-loss"


def marks(y: Tensor) -> Tensor:
    """Even, above 4, a multiple of 3, prime, has a loop."""
    tables = [{0, 2, 4, 6, 8}, {5, 6, 7, 8, 9}, {0, 3, 6, 9}, {2, 3, 5, 7}, {0, 6, 8, 9}]
    return torch.stack([torch.tensor([float(int(d) in t) for d in y]) for t in tables], 1)


def make(broken: bool) -> Program:
    data = digits()
    data = data._replace(y=marks(data.y), y_test=marks(data.y_test))
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5))
    loss = F.cross_entropy if broken else F.binary_cross_entropy_with_logits

    def error() -> float:
        with torch.no_grad():
            return float(((model(data.x_test) > 0).float() != data.y_test).float().mean())

    return program(model, data, loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
