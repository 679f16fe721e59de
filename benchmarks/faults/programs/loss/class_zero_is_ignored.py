"""`ignore_index=0` was meant for padding, but 0 is a class of this task: nothing ever teaches it."""

from torch import nn

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "ignored-labels"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    loss = nn.CrossEntropyLoss(ignore_index=0 if broken else -100)
    return program(model, data, loss, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
