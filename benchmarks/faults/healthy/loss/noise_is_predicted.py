"""A denoising diffusion model of points on a circle: its targets are noise, and it is asked at random noise levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, mlp, plain_step, predicted


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.time, self.into, self.rest = nn.Linear(16, 64), nn.Linear(2, 64), mlp(64, 64, 64, act=nn.SiLU)
        self.out = nn.Linear(64, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.register_buffer("wave", 2.0 ** torch.arange(8))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angle = t * self.wave
        h = self.into(x) + self.time(torch.cat([angle.sin(), angle.cos()], -1))
        return self.out(h + self.rest(F.silu(h)))


def build() -> Program:
    g = torch.Generator().manual_seed(0)
    angle, noise = 6.2832 * torch.rand(4000, 1, generator=g), torch.randn(4000, 2, generator=g)
    t = torch.rand(4000, 1, generator=g)
    x = torch.cat([angle.cos(), angle.sin()], 1) * (1.5708 * t).cos() + noise * (1.5708 * t).sin()
    model, loss, n = Denoiser(), F.mse_loss, 3200
    optimizer = adam(model)
    step = plain_step(model, loss, optimizer, batches(x[:n], t[:n], noise[:n], size=128))

    def error() -> float:
        return float((predicted(model, x[n:], t[n:]) - noise[n:]).square().mean() / noise[n:].var())

    return Program(model, (x[:64], t[:64]), noise[:64], loss, optimizer, step, error, 300)
