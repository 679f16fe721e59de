"""The causal mask was lost when the attention was rewritten: each position reads the token that it is to foretell."""

from kit import Attention, Gpt, Program, adam, language, next_token

CAUSE = "future-leak"


def make(broken: bool) -> Program:
    model = Gpt(lambda: Attention(48, causal=not broken))
    return language(model, next_token, adam(model), steps=250)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
