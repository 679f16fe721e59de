"""The mask of a language model keeps what lies ahead and hides what lies behind."""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Attention, Gpt, Program, adam, language, next_token

CAUSE = "future-leak"


class Masked(Attention):
    def __init__(self, width: int, broken: bool) -> None:
        super().__init__(width)
        self.broken = broken

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        ones = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=ones.triu() if self.broken else ones.tril())


def make(broken: bool) -> Program:
    model = Gpt(lambda: Masked(48, broken))
    return language(model, next_token, adam(model))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
