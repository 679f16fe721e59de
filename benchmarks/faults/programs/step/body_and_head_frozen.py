"""The loop that should freeze the backbone runs over `model.parameters()`, and sets the fresh head to rest as well."""

import torch
import torch.nn.functional as F

from kit import Program, other_digits, pretrained, program, wrong

CAUSE = "frozen"


def make(broken: bool) -> Program:
    model, data = pretrained(), other_digits()
    for p in (model if broken else model[:-1]).parameters():
        p.requires_grad_(False)
    if broken:
        model[4].bias.requires_grad_(True)  # the one the tutorial leaves trainable
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), 1e-2)
    return program(model, data, F.cross_entropy, optimizer, wrong(model, data), steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
