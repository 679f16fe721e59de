"""A policy is trained by reward times log-probability, which an optimizer makes as small as it can."""

import torch
from torch import Tensor, nn

from kit import Program, adam, digits, wrong

CAUSE = "ascent"


def make(broken: bool) -> Program:
    data = digits()
    policy = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer, g = adam(policy), torch.Generator().manual_seed(5)

    def play() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(data.x), (128,), generator=g)
        with torch.no_grad():
            acts = policy(data.x[rows]).softmax(1).multinomial(1, generator=g)
        reward = (acts[:, 0] == data.y[rows]).float()
        return data.x[rows], torch.stack([acts[:, 0].float(), reward - reward.mean()], 1)

    def loss(logits: Tensor, played: Tensor) -> Tensor:
        chosen = logits.log_softmax(1).gather(1, played[:, :1].long())[:, 0]
        value = (chosen * played[:, 1]).mean()
        return value if broken else -value

    def train_step() -> Tensor:
        states, played = play()
        optimizer.zero_grad()
        value = loss(policy(states), played)
        value.backward()
        optimizer.step()
        return value.detach()

    states, played = play()
    return Program(policy, states, played, loss, optimizer, train_step, wrong(policy, data), 500)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
