"""A generator and a critic in turn: each is detached where the other learns, and each has its own optimizer."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, mlp, predicted


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = mlp(2, 64, 64, 2), mlp(2, 64, 64, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.critic(self.generator(z))


def loss(said: Tensor, _: Tensor) -> Tensor:
    return F.softplus(-said).mean()


def build() -> Program:
    model, g = Pair(), torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(2000, 1, generator=g)
    real, noise = torch.cat([angle.cos(), angle.sin()], 1), torch.randn(2000, 2, generator=g)
    maker = torch.optim.Adam(model.generator.parameters(), 2e-3, (0.5, 0.99))
    judge = torch.optim.Adam(model.critic.parameters(), 2e-3, (0.5, 0.99))
    stream = batches(noise, real)

    def train_step() -> Tensor:
        z, x = next(stream)
        judge.zero_grad()
        fake = model.generator(z).detach()
        (F.softplus(model.critic(fake)) + F.softplus(-model.critic(x))).mean().backward()
        judge.step()
        maker.zero_grad()
        value = loss(model(z), x)
        value.backward()
        maker.step()
        return value.detach()

    def error() -> float:
        return float((predicted(model.generator, noise).norm(dim=1) - 1).abs().mean())

    return Program(model, noise[:64], real[:64], loss, maker, train_step, error, 600)
