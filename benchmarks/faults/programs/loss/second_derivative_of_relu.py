"""A physics-informed network of ReLUs: the second derivative in its residual is zero, the equation teaches nothing."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kit import Program, adam, mlp, predicted, program, split

CAUSE = "term-without-gradient"


class Residual(nn.Module):
    """u of the equation u'' = -9 sin(3 x), and its second derivative."""

    def __init__(self, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.u = mlp(1, 32, 32, 1, act=act)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = self.u(x)
            (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            if not slope.requires_grad:
                return u, torch.zeros_like(u)
            (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True, allow_unused=True)
        return u, bend if bend is not None else torch.zeros_like(u)


def loss(out: tuple[Tensor, Tensor], known: Tensor) -> Tensor:
    u, bend = out
    source, boundary, value = known.split(1, -1)
    return (bend - source).square().mean() + 30 * (boundary * (u - value).square()).sum() / boundary.sum().clamp(min=1)


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(9)
    x = torch.rand(2000, 1, generator=g) * 2 - 1
    x[::16], x[1::16] = -1.0, 1.0
    known = torch.cat([-9 * (3 * x).sin(), (x.abs() == 1).float(), (3 * x).sin()], 1)
    model, data = Residual(nn.ReLU if broken else nn.Tanh), split(x, known)

    def error() -> float:
        u = predicted(model, data.x_test)[0]
        true = data.y_test[:, 2:]
        return float((u - true).square().mean() / true.var())

    return program(model, data, loss, adam(model, 5e-3), error, steps=400)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
