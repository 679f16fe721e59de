"""One forward model: planned scales and real weights give the same levels; a row carries its formula."""

from collections.abc import Callable, Iterator
from math import sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Call, Graph, ops
from gainstage.theory import Forward, predict


class Net(nn.Module):
    def __init__(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.c, self.join = nn.Linear(64, 256), nn.Linear(64, 256), nn.Linear(256, 64), join

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.join(self.a(x), self.b(x)))


JOINS: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], float]] = {
    "sum": (torch.add, 2.0),
    "product": (torch.mul, 1.0),
    "dropout": (lambda a, b: F.dropout(a, 0.75) + 0 * b, 4.0),
    "gate": (lambda a, b: a * torch.relu(b), 0.5),
    "norm": (lambda a, b: F.layer_norm(3 * a + b, (256,)), 1.0),
    "same base": (lambda a, b: torch.relu(a) - torch.relu(-a) + 0 * b, 1.0),
}


@pytest.mark.parametrize("name", JOINS)
def test_free_scales_and_real_weights_give_one_level(name: str) -> None:
    join, level = JOINS[name]
    torch.manual_seed(0)
    model, x = Net(join), torch.randn(512, 64)
    for layer in (model.a, model.b, model.c):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)
    tape = gs.record(model, x)
    graph = Graph(tape)
    free = Forward(graph, lambda site, level: level, lambda site: 1.0)
    free.run()
    last = list(graph.weights)[-1]
    read = graph.weights[last].data.site
    assert free.level(read) == pytest.approx(level, rel=1e-6)
    assert predict(tape, model)[read][0] == pytest.approx(sqrt(level), rel=0.05)
    assert graph.sites[last].forward.rms == pytest.approx(sqrt(level), rel=0.1)


def test_a_bias_shifts_what_reads_it() -> None:
    model = Net(lambda a, b: torch.relu(a) + 0 * b)
    graph = Graph(gs.record(model, torch.randn(8, 64)))
    first, _, last = graph.weights
    shifted = Forward(graph, lambda site, level: 1.0, lambda site: 1.0, lambda site: -2.0 if site == first else 0.0)
    shifted.run()
    assert shifted.level(first) == pytest.approx(5.0)
    assert shifted.level(graph.weights[last].data.site) == pytest.approx(0.0057, rel=0.02)  # E[relu(z - 2)^2]


@pytest.fixture
def cross_row() -> Iterator[None]:
    def forward(call: Call) -> float:
        return 2 * call.reads[0] * call.reads[1]

    ops.register(ops.Op("cross", "unknown", ("input", "other", "dim"), forward=forward, back=lambda call: call.spread))
    yield
    del ops._BY_NAME["cross"]


def test_the_formula_of_a_new_row_is_known_to_planner_and_prediction(cross_row: None) -> None:
    """The cross product of independent vectors has twice the product of their levels."""
    torch.manual_seed(0)
    model = Net(lambda a, b: torch.cross(a.view(-1, 85, 3), b.view(-1, 85, 3), dim=-1).flatten(1))
    model.a, model.b, model.c = nn.Linear(64, 255), nn.Linear(64, 255), nn.Linear(255, 64)
    x = torch.randn(512, 64)
    plan, tape = gs.initialize(model, x), gs.record(model, x)
    variance = plan["c.weight"].law.concrete((64, 255)).std ** 2 * 255
    assert variance * 2 == pytest.approx(plan["c.weight"].level, rel=0.01)
    site = next(s for s in tape.sites if s.op == "cross")
    assert predict(tape, model)[site.index][0] == pytest.approx(site.forward.rms, rel=0.05)


@pytest.mark.parametrize("pool", [nn.AvgPool1d(4), nn.AvgPool1d((4,)), nn.AdaptiveAvgPool1d(16)])
def test_an_average_gives_each_entry_its_share_of_the_gradient(pool: nn.Module) -> None:
    """Each of four entries gets a quarter of the gradient of their average: a sixteenth of its mean square."""
    model = nn.Sequential(nn.Linear(64, 64), pool)
    tape = gs.record(model, torch.randn(8, 3, 64))
    first, last = tape["0"], list(tape)[-1]
    assert first.backward.mean_square == pytest.approx(last.backward.mean_square / 16, rel=1e-4)
    assert predict(tape, model)[first.index][1] == pytest.approx(first.backward.rms, rel=1e-4)


def test_attention_has_the_level_of_its_values() -> None:
    model = Net(lambda a, b: F.scaled_dot_product_attention(a[None], a[None], torch.relu(b)[None])[0])
    tape = gs.record(model, torch.randn(16, 64))
    site = next(s for s in tape.sites if s.op == "scaled_dot_product_attention")
    forward = Forward(Graph(tape), lambda site, level: 1.0, lambda site: 1.0)
    forward.run()
    assert forward.level(site.index) == pytest.approx(0.5, rel=1e-6)
