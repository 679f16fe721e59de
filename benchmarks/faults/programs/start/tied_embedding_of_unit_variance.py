"""An embedding keeps N(0, 1) and is tied to the output head: logits start at the root of the width, far above ln V.

Source: https://github.com/jsboige/CoursIA/issues/13279
"""

from torch import nn

from kit import Gpt, Program, adam, language, next_token

CAUSE = "embedding-scale"


def make(broken: bool) -> Program:
    model = Gpt(depth=1)
    model.head.weight = model.token.weight
    nn.init.normal_(model.token.weight, 0, 1.0 if broken else 0.02)
    return language(model, next_token, adam(model, 1e-3))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
