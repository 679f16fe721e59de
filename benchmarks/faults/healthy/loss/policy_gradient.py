"""REINFORCE on a bandit with four states: the loss is a log-likelihood weighted by either sign and may be negative."""

import torch
from torch import Tensor, nn

from kit import Program, Split, adam, mlp, predicted, program


def loss(out: Tensor, played: Tensor) -> Tensor:
    action, advantage = played[:, :1].long(), played[:, 1:]
    return -(out.log_softmax(-1).gather(1, action) * advantage).mean()


def build() -> Program:
    g = torch.Generator().manual_seed(0)
    state = torch.randn(3000, 6, generator=g)
    best = 2 * (state[:, 0] > 0).long() + (state[:, 1] > 0).long()
    action = torch.randint(4, (3000,), generator=g)
    reward = (action == best).float() + 0.1 * torch.randn(3000, generator=g)
    played = torch.stack([action.float(), (reward - reward.mean()) / reward.std()], 1)
    model, data = mlp(6, 32, 4, act=nn.Tanh), Split(state[:2400], played[:2400], state[2400:], played[2400:])

    def error() -> float:
        return float((predicted(model, data.x_test).argmax(-1) != best[2400:]).float().mean())

    return program(model, data, loss, adam(model), error, size=128)
