"""Convolutions of a causal model are padded on both sides: the kernel covers the sample that it is to foretell."""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import VOCABULARY, Program, adam, language, next_token

CAUSE = "future-leak"


class Causal(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.token, self.head = nn.Embedding(VOCABULARY, 48), nn.Linear(48, VOCABULARY)
        self.convs = nn.ModuleList(nn.Conv1d(48, 48, 3) for _ in range(3))
        self.pad = (1, 1) if broken else (2, 0)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.token(ids).mT
        for conv in self.convs:
            h = h + conv(F.pad(h, self.pad)).relu()
        return self.head(h.mT)


def make(broken: bool) -> Program:
    model = Causal(broken)
    return language(model, next_token, adam(model))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
