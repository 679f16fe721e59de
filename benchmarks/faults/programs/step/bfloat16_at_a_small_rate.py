"""All weights are bfloat16 and the rate is that of fine-tuning: a step is below their rounding and is lost.

Source: https://github.com/meta-pytorch/torchtune/issues/2254
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from kit import Program, Split, adam, batches, other_digits, plain_step, pretrained, program, wrong

CAUSE = "rounding"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = other_digits()
    kind = torch.bfloat16 if broken else torch.float32
    model = pretrained()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        warm = plain_step(model, F.cross_entropy, adam(model[-1]), batches(x[:120], y[:120]))
        for _ in range(30):
            warm()
    model.eval().to(kind)
    data = Split(x.to(kind), y, x_test.to(kind), y_test)
    optimizer = torch.optim.AdamW(model.parameters(), 4e-5, weight_decay=0.0)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(out.float(), y)

    return program(model, data, loss, optimizer, wrong(model, data), steps=300)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
