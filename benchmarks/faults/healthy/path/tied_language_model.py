"""The output head is the embedding itself, drawn at 0.02."""

from kit import Gpt, Program, adam, language, next_token


def build() -> Program:
    model = Gpt(depth=1)
    model.head.weight = model.token.weight
    return language(model, next_token, adam(model), steps=150)
