"""Labels are the ids themselves, and nobody shifts them: the model learns to repeat the token that it reads.

Source: https://github.com/huggingface/transformers/issues/27517
"""

import torch.nn.functional as F
from torch import Tensor

from kit import Gpt, Program, adam, language, next_token

CAUSE = "label-shift"


def same_token(logits: Tensor, ids: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), ids.flatten())


def make(broken: bool) -> Program:
    model = Gpt()
    return language(model, same_token if broken else next_token, adam(model))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
