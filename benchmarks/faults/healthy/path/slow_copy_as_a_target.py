"""One network foretells the codes of a slow average of itself for another view; the average is not trained."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))
        self.slow = deepcopy(self.online).requires_grad_(False)
        self.guess = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            wanted = self.slow(b)
        return self.guess(self.online(a)), wanted


def build() -> Program:
    data, model = digits(), Own()
    optimizer, g = adam(model, 1e-3), torch.Generator().manual_seed(2)

    def views(x: Tensor, n: int = 128) -> tuple[Tensor, Tensor]:
        x = x[torch.randperm(len(x), generator=g)[:n]]
        return tuple(x * (torch.rand(x.shape, generator=g) > 0.3) for _ in range(2))  # type: ignore[return-value]

    def loss(pair: tuple[Tensor, Tensor], _: Tensor) -> Tensor:
        return 2 - 2 * F.cosine_similarity(*pair).mean()

    def train_step() -> Tensor:
        optimizer.zero_grad()
        value = loss(model(*views(data.x)), torch.zeros(128))
        value.backward()
        optimizer.step()
        with torch.no_grad():
            for p, q in zip(model.slow.parameters(), model.online.parameters(), strict=True):
                p.lerp_(q, 0.02)
        return value.detach()

    def error() -> float:
        with torch.no_grad():
            return float(loss(model(*views(data.x_test, 256)), torch.zeros(256)))

    return Program(model, views(data.x), torch.zeros(128), loss, optimizer, train_step, error, 100)
