"""A hinge loss is given labels 0 and 1 instead of -1 and 1: the loss of every 0 is the constant 1."""

from torch import Tensor

from kit import Program, Split, adam, measured, mlp, program, wrong

CAUSE = "wrong-kind-of-loss"


def make(broken: bool) -> Program:
    x, y, x_test, y_test = measured("breast_cancer")
    data = Split(x, y.float() if broken else 2.0 * y - 1, x_test, y_test)
    model = mlp(30, 32, 1)

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return (1 - y * out.squeeze(-1)).clamp(min=0).mean()

    return program(model, data, loss, adam(model), wrong(model, data, lambda out: out > 0))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
