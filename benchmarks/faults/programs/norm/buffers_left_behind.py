"""A pretrained backbone is loaded without its buffers and kept in evaluation: it divides by statistics of 0 and 1."""

import torch.nn.functional as F
from torch import Tensor

from kit import Program, adam, batches, cnn, other_digits, pretrained, program, wrong

CAUSE = "stale-statistics"


def make(broken: bool) -> Program:
    source, data = pretrained(), other_digits()
    model = cnn(classes=5)
    saved = dict(source.named_parameters()) if broken else source.state_dict()
    model.load_state_dict(saved, strict=False)
    body = model[:-1].requires_grad_(False)
    x, y = data.x, data.y
    optimizer, stream = adam(model[-1], 3e-3), batches(x, y)

    def train_step() -> Tensor:
        body.eval()
        x, y = next(stream)
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value.detach()

    body.eval()
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), train_step=train_step, steps=150)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
