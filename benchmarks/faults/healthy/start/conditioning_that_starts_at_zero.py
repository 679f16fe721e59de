"""adaLN-zero: the network that turns a condition into shifts, scales and gates starts at zero, and so do all branches.

Source: https://arxiv.org/abs/2212.09748
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, batches, mlp, plain_step, predicted, springs


class Modulated(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.body = nn.LayerNorm(width, elementwise_affine=False), mlp(width, 2 * width, width, act=nn.GELU)
        self.condition = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        nn.init.zeros_(self.condition[1].weight)
        nn.init.zeros_(self.condition[1].bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.condition(c).chunk(3, -1)
        return x + gate * self.body(self.norm(x) * (1 + scale) + shift)


class Bodies(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.condition, self.out = nn.Linear(6, 48), nn.Linear(6, 48), nn.Linear(48, 6)
        self.blocks = nn.ModuleList(Modulated(48) for _ in range(4))

    def forward(self, position: Tensor, velocity: Tensor) -> Tensor:
        x, c = self.into(position), self.condition(velocity)
        for block in self.blocks:
            x = block(x, c)
        return self.out(x)


def build() -> Program:
    x, y, x_test, y_test = springs()
    model, loss = Bodies(), F.mse_loss
    optimizer = adam(model)
    step = plain_step(model, loss, optimizer, batches(x[:, :6], x[:, 6:], y))

    def error() -> float:
        out = predicted(model, x_test[:, :6], x_test[:, 6:])
        return float((out - y_test).square().mean() / y_test.var())

    return Program(model, (x[:64, :6], x[:64, 6:]), y[:64], loss, optimizer, step, error, 300)
