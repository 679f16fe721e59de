"""Every batch is mixed with itself in another order, and its labels are shares of two classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, cnn, digits, wrong


def build() -> Program:
    data, model = digits((1, 8, 8)), cnn()
    optimizer, feed = adam(model), batches(data.x, F.one_hot(data.y, 10).float())

    def mixed() -> tuple[Tensor, Tensor]:
        x, y = next(feed)
        share = float(torch.distributions.Beta(0.4, 0.4).sample())
        return share * x + (1 - share) * x.flip(0), share * y + (1 - share) * y.flip(0)

    def train_step() -> Tensor:
        x, y = mixed()
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y, label_smoothing=0.1)
        value.backward()
        optimizer.step()
        return value.detach()

    x, y = mixed()
    loss = lambda out, y: F.cross_entropy(out, y, label_smoothing=0.1)  # noqa: E731
    return Program(model, x, y, loss, optimizer, train_step, wrong(model, data), 150)
