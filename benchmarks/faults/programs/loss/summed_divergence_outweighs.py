"""A VAE takes the mean over the pixels and the sum over batch and latents of the divergence: its code is empty."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, digits, mlp, program, unexplained

CAUSE = "term-outweighs"


class Vae(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(64, 96, 16), mlp(8, 96, 64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, -1)
        noise = torch.randn_like(mean) if self.training else 0.0
        return self.decoder(mean + noise * (0.5 * log_variance).exp()), mean, log_variance


def make(broken: bool) -> Program:
    x, _, x_test, _ = digits()
    data, model = Split(x, x, x_test, x_test), Vae()

    def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
        image, mean, log_variance = out
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp())
        if broken:
            return F.mse_loss(image, x) + divergence.sum()
        return ((image - x).square().sum(-1) + divergence.sum(-1)).mean()

    return program(model, data, loss, adam(model), unexplained(model, data, lambda out: out[0]), steps=250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
