"""Denoising diffusion on digits, in the manner of the annotated implementations: noise, a time step, and an average."""

import copy
import math
import sys

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

STEPS = int(sys.argv[1]) if len(sys.argv) > 1 else 20
T = 100
betas = torch.linspace(1e-4, 0.02, T)
alphas_cumprod = torch.cumprod(1.0 - betas, dim=0)


class SinusoidalPosEmb(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        half = self.dim // 2
        emb = torch.exp(torch.arange(half) * -(math.log(10000) / (half - 1)))
        emb = x[:, None] * emb[None, :]
        return torch.cat((emb.sin(), emb.cos()), dim=-1)


class Block(nn.Module):
    def __init__(self, dim, dim_out, time_dim):
        super().__init__()
        self.mlp = nn.Sequential(nn.SiLU(), nn.Linear(time_dim, dim_out * 2))
        self.proj = nn.Conv2d(dim, dim_out, 3, padding=1)
        self.norm = nn.GroupNorm(4, dim_out)
        self.res = nn.Conv2d(dim, dim_out, 1) if dim != dim_out else nn.Identity()

    def forward(self, x, t):
        scale, shift = self.mlp(t)[:, :, None, None].chunk(2, dim=1)
        h = self.norm(self.proj(x)) * (scale + 1) + shift
        return F.silu(h) + self.res(x)


class Unet(nn.Module):
    def __init__(self, dim=16):
        super().__init__()
        self.time = nn.Sequential(
            SinusoidalPosEmb(dim), nn.Linear(dim, dim * 2), nn.GELU(), nn.Linear(dim * 2, dim * 2)
        )
        self.inp = nn.Conv2d(1, dim, 3, padding=1)
        self.down = Block(dim, dim * 2, dim * 2)
        self.mid = Block(dim * 2, dim * 2, dim * 2)
        self.up = Block(dim * 4, dim, dim * 2)
        self.out = nn.Conv2d(dim, 1, 1)

    def forward(self, x, t):
        t = self.time(t.float())
        h0 = self.inp(x)
        h1 = self.down(h0, t)
        h2 = F.interpolate(self.mid(F.avg_pool2d(h1, 2), t), scale_factor=2)
        return self.out(self.up(torch.cat((h2, h1), dim=1), t) + h0)


def q_sample(x_start, t, noise):
    a = alphas_cumprod[t][:, None, None, None]
    return a.sqrt() * x_start + (1 - a).sqrt() * noise


def main():
    torch.manual_seed(0)
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
    model = Unet()
    ema = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min(1.0, (i + 1) / 5))
    for step in range(STEPS):
        x = images[torch.randint(len(images), (32,))]
        t = torch.randint(0, T, (32,))
        noise = torch.randn_like(x)
        loss = F.mse_loss(model(q_sample(x, t, noise), t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for a, b in zip(ema.parameters(), model.parameters()):
                a.lerp_(b, 0.01)
        print(f"step {step} loss {loss.item():.4f}")


main()
