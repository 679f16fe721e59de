"""Which values an output can take: the ranges of the functions behind it."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Graph
from gainstage.theory import reach

Function = Callable[[Tensor], Tensor]


class Ending(nn.Module):
    def __init__(self, end: Function) -> None:
        super().__init__()
        self.body, self.end = nn.Linear(6, 4), end
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("spread", torch.full((4,), 3.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


INF = math.inf
RANGES: dict[str, tuple[Function, float, float]] = {
    "none": (lambda z: z, -INF, INF),
    "sigmoid": (torch.sigmoid, 0, 1),
    "sigmoid by hand": (lambda z: 1 / (1 + torch.exp(-z)), 0, 1),
    "scaled sigmoid": (lambda z: 255 * z.sigmoid(), 0, 255),
    "tanh": (torch.tanh, -1, 1),
    "tanh moved": (lambda z: (z.tanh() + 1) / 2, 0, 1),
    "relu": (torch.relu, 0, INF),
    "relu in place": (lambda z: F.relu(z, inplace=True), 0, INF),
    "relu6": (F.relu6, 0, 6),
    "softplus": (F.softplus, 0, INF),
    "exp": (torch.exp, 0, INF),
    "square": (torch.square, 0, INF),
    "clamp": (lambda z: z.clamp(-2, 5), -2, 5),
    "elu": (F.elu, -1, INF),
    "silu": (F.silu, -0.2785, INF),
    "softmax": (lambda z: z.softmax(1), 0, 1),
    "log_softmax": (lambda z: z.log_softmax(1), -INF, 0),
    "cosine": (lambda z: F.normalize(z), -1, 1),
    "cosine over a temperature": (lambda z: F.normalize(z) / 0.1, -10, 10),
    "views behind": (lambda z: z.sigmoid().reshape(-1, 2, 2).transpose(1, 2).flatten(1), 0, 1),
    "twice": (lambda z: z.sigmoid().sigmoid(), 0.5, 0.7311),
    "negative part": (lambda z: -F.relu(-z), -INF, 0),
}


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_an_output(name: str) -> None:
    end, low, high = RANGES[name]
    model, x = Ending(end), torch.randn(32, 6)
    tape = gs.record(model, x, backward=False)
    bounds = reach(Graph(tape), tape.outputs[0].site)
    assert bounds.low == pytest.approx(low, abs=1e-3)
    assert bounds.high == pytest.approx(high, abs=1e-3)
    assert bounds.bounded == (low > -INF or high < INF)
    assert low - 1e-3 <= float(model(x).min())
    assert float(model(x).max()) <= high + 1e-3


def test_an_output_that_is_scaled_by_a_tensor_has_no_known_bounds() -> None:
    for scale in ("scale", "spread"):
        model = Ending(torch.tanh)
        model.end = lambda z, model=model, scale=scale: z.tanh() * getattr(model, scale)
        tape = gs.record(model, torch.randn(32, 6), backward=False)
        assert not reach(Graph(tape), tape.outputs[0].site).bounded
