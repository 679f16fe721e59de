"""A ranking loss subtracts the wrong way: items that were chosen are pushed below those that were not."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, predicted

CAUSE = "ascent"
USERS, ITEMS = 60, 80


class Tastes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, 12), nn.Embedding(ITEMS, 12)
        for table in (self.user, self.item):
            nn.init.normal_(table.weight, 0, 0.1)

    def forward(self, user: Tensor, chosen: Tensor, other: Tensor) -> Tensor:
        who = self.user(user)
        return torch.stack([(who * self.item(i)).sum(-1) for i in (chosen, other)], 1)


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(11)
    likes = torch.randn(USERS, 3, generator=g) @ torch.randn(3, ITEMS, generator=g)
    model = Tastes()
    optimizer = adam(model, 1e-2)

    def batch(n: int = 128) -> tuple[Tensor, Tensor, Tensor]:
        user, one, two = (torch.randint(top, (n,), generator=g) for top in (USERS, ITEMS, ITEMS))
        better = likes[user, one] > likes[user, two]
        return user, torch.where(better, one, two), torch.where(better, two, one)

    def loss(scores: Tensor, target: Tensor) -> Tensor:
        gap = scores[:, 0] - scores[:, 1]
        return -F.logsigmoid(-gap if broken else gap).mean()

    def train_step() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(*batch()), torch.zeros(128))
        value.backward()
        optimizer.step()
        return value.detach()

    def error() -> float:
        scores = predicted(model, *batch(1000))
        return float((scores[:, 0] <= scores[:, 1]).float().mean())

    return Program(model, batch(), torch.zeros(128), loss, optimizer, train_step, error, 250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
