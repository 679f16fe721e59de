"""The overlap of a dice loss is taken of logits instead of probabilities: its denominator can be zero or negative."""

from torch import Tensor

from kit import Program, UNet, adam, discs, predicted, program

CAUSE = "no-log-probabilities"


def make(broken: bool) -> Program:
    model, data = UNet(), discs()

    def loss(out: Tensor, y: Tensor) -> Tensor:
        p = out if broken else out.sigmoid()
        return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)

    def error() -> float:
        p = (predicted(model, data.x_test) > (0.5 if broken else 0)).float()
        return float(1 - 2 * (p * data.y_test).sum() / (p.sum() + data.y_test.sum()))

    return program(model, data, loss, adam(model), error, size=32, steps=100)


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
