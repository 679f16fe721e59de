"""Codes are chosen by `argmin`; the gradient is copied past the choice, and two terms pull codes and encoder together.

Source: https://arxiv.org/abs/1711.00937
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, Split, adam, digits, mlp, program, unexplained


class Codes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = mlp(64, 64, 32), mlp(32, 64, 64)
        self.codes = nn.Parameter(torch.randn(16, 8) / 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = self.encoder(x).unflatten(-1, (4, 8))
        q = self.codes[torch.cdist(z.flatten(0, 1), self.codes).argmin(-1)].view_as(z)
        through = z + (q - z).detach()
        return self.decoder(through.flatten(1)), z, q


def loss(out: tuple[Tensor, Tensor, Tensor], x: Tensor) -> Tensor:
    image, z, q = out
    return F.mse_loss(image, x) + F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())


def build() -> Program:
    x, _, x_test, _ = digits()
    model, data = Codes(), Split(x, x, x_test, x_test)
    return program(model, data, loss, adam(model), unexplained(model, data, lambda out: out[0]), steps=300)
