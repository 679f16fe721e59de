"""The log-likelihood is minimized: its minus is missing, and every step makes the right class less likely."""

from torch import Tensor

from kit import Program, adam, digits, mlp, program, wrong

CAUSE = "ascent"


def make(broken: bool) -> Program:
    model, data = mlp(64, 64, 10), digits()
    sign = 1.0 if broken else -1.0

    def loss(out: Tensor, y: Tensor) -> Tensor:
        return sign * out.log_softmax(-1).gather(1, y[:, None]).mean()

    return program(model, data, loss, adam(model), wrong(model, data))


def build() -> Program:
    return make(True)


def repaired() -> Program:
    return make(False)
