"""The adversarial term takes `fake.detach()`, as the discriminator's does: the generator only hears the pixel loss."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, batches, mlp, predicted

CAUSE = "cut-path"


class Sampler(nn.Module):
    """One network for both: a sharpener and the critic that tells its pictures from real ones."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = mlp(2, 64, 64, 2), mlp(2, 64, 64, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


def make(broken: bool) -> Program:
    model, g = Sampler(), torch.Generator().manual_seed(0)
    angle = 2 * math.pi * torch.rand(2000, 1, generator=g)
    real = torch.cat([angle.cos(), angle.sin()], 1)
    noise = torch.randn(2000, 2, generator=g)
    both = torch.optim.Adam(model.generator.parameters(), 2e-3, (0.5, 0.99))
    judge = torch.optim.Adam(model.critic.parameters(), 2e-3, (0.5, 0.99))

    def loss(fake: Tensor, real: Tensor) -> Tensor:
        said = model.critic(fake.detach() if broken else fake)
        return F.softplus(-said).mean() + 0.1 * fake.mean(0).square().sum()

    data = batches(noise, real)

    def train_step() -> Tensor:
        z, x = next(data)
        fake = model(z)
        judge.zero_grad()
        (F.softplus(model.critic(fake.detach())) + F.softplus(-model.critic(x))).mean().backward()
        judge.step()
        both.zero_grad()
        value = loss(fake, x)
        value.backward()
        both.step()
        return value.detach()

    def error() -> float:  # how far from the circle
        return float((predicted(model, noise).norm(dim=1) - 1).abs().mean())

    return Program(model, noise[:64], real[:64], loss, both, train_step, error, 600)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
