"""Embeddings of the positions are drawn at thirty times the level of the tokens', which vanish in the first norm."""

from torch import nn

from kit import Gpt, Program, adam, language, next_token

CAUSE = "embedding-scale"


def make(broken: bool) -> Program:
    model = Gpt(depth=1)
    if broken:
        nn.init.normal_(model.place.weight, 0, 3.0)
    return language(model, next_token, adam(model, 1e-3))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
