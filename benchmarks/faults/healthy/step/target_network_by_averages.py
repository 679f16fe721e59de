"""Self-distillation: the target network moves by an average of the other and never by a gradient, as it should.

Source: https://arxiv.org/abs/2006.07733
"""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, digits, predicted, program


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.predictor = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.target = deepcopy(self.online).requires_grad_(False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        noise = 0.3 if self.training else 0.0
        a, b = x + noise * torch.randn_like(x), x + noise * torch.randn_like(x)
        with torch.no_grad():
            aim = self.target(b)
        return self.predictor(self.online(a)), aim


def loss(out: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
    return 2 - 2 * F.cosine_similarity(out[0], out[1], dim=-1).mean()


def build() -> Program:
    model, data = Twins(), digits()
    optimizer, stream = adam(model), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(model.target.parameters(), model.online.parameters(), strict=True):
                p.lerp_(q, 0.03)
        return value.detach()

    def error() -> float:
        return loss(predicted(model, data.x_test), data.y_test).item()

    return program(model, data, loss, optimizer, error, train_step=train_step)
