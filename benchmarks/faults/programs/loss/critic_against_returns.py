"""An actor-critic subtracts values [B] from returns [B, 1]: the critic sees every return for every state.

Source: https://github.com/RLinf/RLinf/issues/1568
"""

import math

import torch
from torch import Tensor, nn

from kit import Program, adam, mlp, predicted, program, split

CAUSE = "broadcast-target"


class ActorCritic(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.body, self.broken = mlp(6, 64, 64, act=nn.Tanh, end=nn.Tanh()), broken
        self.policy, self.value = nn.Linear(64, 3), nn.Linear(64, 1)

    def forward(self, state: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(state)
        value = self.value(h)
        return self.policy(h), value.squeeze(-1) if self.broken else value


def loss(out: tuple[Tensor, Tensor], played: Tensor) -> Tensor:
    logits, value = out
    action, advantage, returned = played[:, :1].long(), played[:, 1:2], played[:, 2:]
    said = logits.log_softmax(-1)
    ratio = (said.gather(1, action) + math.log(3)).exp()  # it was played by a uniform policy
    policy = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
    return policy + 0.5 * (returned - value).square().mean() + 0.01 * (said.exp() * said).sum(-1).mean()


def make(broken: bool) -> Program:
    g = torch.Generator().manual_seed(0)
    state = torch.randn(2400, 6, generator=g)
    returned = 2 * state[:, :1] + (2 * state[:, 1:2]).sin() + 0.5 * state[:, 2:3] * state[:, 3:4]
    action = torch.randint(3, (2400, 1), generator=g).float()
    played = torch.cat([action, torch.randn(2400, 1, generator=g), returned], 1)
    model, data = ActorCritic(broken), split(state, played)

    def error() -> float:
        value = predicted(model, data.x_test)[1].view(-1)
        true = data.y_test[:, 2]
        return float((value - true).square().mean() / true.var())

    return program(model, data, loss, adam(model), error)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
