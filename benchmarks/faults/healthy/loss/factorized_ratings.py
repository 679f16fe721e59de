"""Matrix factorization: two embeddings, their product, no network; rows that the batch does not name stay at rest."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, program, split, unexplained


class Factors(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(100, 6), nn.Embedding(80, 6)
        nn.init.normal_(self.user.weight, 0, 0.3)
        nn.init.normal_(self.item.weight, 0, 0.3)

    def forward(self, pair: Tensor) -> Tensor:
        return (self.user(pair[:, 0]) * self.item(pair[:, 1])).sum(-1)


def build() -> Program:
    g = torch.Generator().manual_seed(0)
    true = torch.randn(100, 3, generator=g) @ torch.randn(3, 80, generator=g) / 3**0.5
    pair = torch.stack([torch.randint(100, (6000,), generator=g), torch.randint(80, (6000,), generator=g)], 1)
    model, data = Factors(), split(pair, true[pair[:, 0], pair[:, 1]])
    return program(model, data, F.mse_loss, adam(model, 2e-2), unexplained(model, data), size=256, steps=300)
