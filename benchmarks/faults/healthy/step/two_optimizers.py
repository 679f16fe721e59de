"""A sparse embedding has its own optimizer and the loop steps both: the one that is shown holds half of the model."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, bags, batches, mlp, predicted


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.rest = nn.Embedding(8, 16, sparse=True), mlp(16, 32, 2)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        return self.rest((self.token(ids) * real[..., None]).sum(1) / 4)


def build() -> Program:
    ids, real, y = bags()
    model, loss, n = Bag(), F.cross_entropy, 2400
    dense, sparse = adam(model.rest), torch.optim.SparseAdam(model.token.parameters(), 1e-2)
    stream = batches(ids[:n], real[:n], y[:n])

    def train_step() -> Tensor:
        some, mask, target = next(stream)
        dense.zero_grad()
        sparse.zero_grad()
        value = loss(model(some, mask), target)
        value.backward()
        dense.step()
        sparse.step()
        return value.detach()

    def error() -> float:
        return float((predicted(model, ids[n:], real[n:]).argmax(-1) != y[n:]).float().mean())

    return Program(model, (ids[:64], real[:64]), y[:64], loss, dense, train_step, error, 300)
