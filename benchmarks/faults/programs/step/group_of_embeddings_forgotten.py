"""Parameter groups for decay and no decay are built by layer type, and the embeddings are in neither of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, bags, batches, mlp, plain_step, predicted

CAUSE = "missing-parameters"


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.rest = nn.Embedding(8, 2), mlp(2, 8, 2)

    def forward(self, ids: Tensor, real: Tensor) -> Tensor:
        return self.rest((self.token(ids) * real[..., None]).sum(1) / 4)


def make(broken: bool) -> Program:
    ids, real, y = bags()
    model, loss, n = Bag(), F.cross_entropy, 2400
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Linear)]
    biases = [m.bias for m in model.modules() if isinstance(m, nn.Linear)]
    groups = [{"params": weights, "weight_decay": 0.01}, {"params": biases, "weight_decay": 0.0}]
    if not broken:
        groups[1]["params"] = [*biases, model.token.weight]
    optimizer = torch.optim.AdamW(groups, 1e-2)
    step = plain_step(model, loss, optimizer, batches(ids[:n], real[:n], y[:n]))

    def error() -> float:
        return float((predicted(model, ids[n:], real[n:]).argmax(-1) != y[n:]).float().mean())

    return Program(model, (ids[:64], real[:64]), y[:64], loss, optimizer, step, error, 400)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
