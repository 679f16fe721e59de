"""A recurrent network's gradient is clipped to norm 1 after the backward pass, which only the first steps exceed."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, digits, program, wrong


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(x)[0][:, -1])


def build() -> Program:
    model, data = Reader(), digits((8, 8))
    optimizer, stream = adam(model, 5e-3), batches(data.x, data.y)

    def train_step() -> Tensor:
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value.detach()

    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step)
