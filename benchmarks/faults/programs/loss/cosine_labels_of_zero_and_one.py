"""Pairs are marked 0 and 1, `cosine_embedding_loss` knows 1 and -1: unlike pairs are not looked at."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, predicted

CAUSE = "ignored-labels"


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 16))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.tower(a), self.tower(b)


def pairs(x: Tensor, y: Tensor, generator: torch.Generator, n: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    first = torch.randint(len(x), (n,), generator=generator)
    second = torch.randint(len(x), (n,), generator=generator)
    for i in range(0, n, 2):  # every second pair is of one digit
        same = (y == y[first[i]]).nonzero().flatten()
        second[i] = same[torch.randint(len(same), (1,), generator=generator)]
    return x[first], x[second], (y[first] == y[second]).long()


def make(broken: bool) -> Program:
    data, model = digits(), Twins()
    optimizer, chance = adam(model), torch.Generator().manual_seed(1)

    def loss(out: tuple[Tensor, Tensor], same: Tensor) -> Tensor:
        return F.cosine_embedding_loss(*out, same if broken else 2 * same - 1, margin=0.2)

    def train_step() -> Tensor:
        a, b, same = pairs(data.x, data.y, chance)
        optimizer.zero_grad()
        value = loss(model(a, b), same)
        value.backward()
        optimizer.step()
        return value.detach()

    def error() -> float:
        a, b, same = pairs(data.x_test, data.y_test, torch.Generator().manual_seed(2), 400)
        near = F.cosine_similarity(*predicted(model, a, b)) > 0.6
        return float((near.long() != same).float().mean())

    a, b, same = pairs(data.x, data.y, chance)
    return Program(model, (a, b), same, loss, optimizer, train_step, error, 150)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
