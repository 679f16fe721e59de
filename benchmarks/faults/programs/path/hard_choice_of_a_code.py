"""A code is chosen by `argmax`, and nothing carries the gradient past the choice: the encoder never learns.

Source: https://arxiv.org/abs/1711.00937 (which copies the gradient straight through)
"""

import torch.nn.functional as F
from torch import Tensor, nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "cut-path"


class Quantized(nn.Module):
    def __init__(self, broken: bool) -> None:
        super().__init__()
        self.encoder, self.decoder, self.broken = mlp(64, 32, 8 * 6), nn.Linear(48, 10), broken

    def forward(self, x: Tensor) -> Tensor:
        score = self.encoder(x).unflatten(-1, (8, 6))
        code = F.one_hot(score.argmax(-1), 6).float()
        if not self.broken:
            soft = score.softmax(-1)
            code = code + soft - soft.detach()
        return self.decoder(code.flatten(1))


def make(broken: bool) -> Program:
    model, data = Quantized(broken), digits()
    return program(model, data, F.cross_entropy, adam(model), wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
