"""Attention scores are normalized over the queries: later positions enter the weights, which they must not know.

Source: https://github.com/nerminnuraydogan/vision-transformer/issues/1
"""

import math

import torch
from torch import Tensor

from kit import Attention, Gpt, Program, adam, language, next_token

CAUSE = "future-leak"


class Scores(Attention):
    axis = -1

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        score = q @ k.mT / q.shape[-1] ** 0.5
        future = torch.ones(score.shape[-2:], dtype=torch.bool).triu(1)
        return score.masked_fill(future, -math.inf).softmax(self.axis) @ v


class OverQueries(Scores):
    axis = -2


def make(broken: bool) -> Program:
    kind = OverQueries if broken else Scores
    model = Gpt(lambda: kind(48))
    return language(model, next_token, adam(model), steps=250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
