"""What function an activation is, in closed form and in other words."""

from collections.abc import Callable
from math import pi, sqrt

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage.signal import Graph
from gainstage.theory import Activation, behind, read_by
from gainstage.theory.activation import Z, derivative, normal_mean

Elementwise = Callable[[Tensor], Tensor]


class Net(nn.Module):
    def __init__(self, phi: Elementwise) -> None:
        super().__init__()
        self.a, self.b, self.phi = nn.Linear(6, 8), nn.Linear(8, 4), phi

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.phi(self.a(x)))


def of(phi: Elementwise) -> Activation:
    graph = Graph(gs.record(Net(phi), torch.randn(4, 6), backward=False))
    found = behind(graph, next(iter(graph.weights)))
    assert found is not None
    return found


def test_means_over_a_normal() -> None:
    assert normal_mean(Z.square()) == pytest.approx(1, abs=1e-12)
    assert normal_mean(Z.relu()) == pytest.approx(1 / sqrt(2 * pi), abs=1e-12)
    assert normal_mean(Z**4) == pytest.approx(3, abs=1e-10)


@pytest.mark.parametrize("phi", [torch.relu, torch.tanh, F.gelu, F.silu, torch.sigmoid, F.softplus, F.selu, torch.sin])
def test_the_gain_is_the_exact_one(phi: Elementwise) -> None:
    assert of(phi).gain == pytest.approx(gs.gain(phi), rel=1e-6)


SPELLINGS: dict[str, tuple[Elementwise, Elementwise]] = {
    "silu": (F.silu, lambda x: x * torch.sigmoid(x)),
    "relu": (torch.relu, lambda x: x.clamp(min=0)),
    "softplus": (F.softplus, lambda x: torch.log1p(x.exp())),
    "leaky": (lambda x: F.leaky_relu(x, 0.2), lambda x: 0.6 * x + 0.4 * x.abs()),
    "tanh": (torch.tanh, lambda x: 2 * torch.sigmoid(2 * x) - 1),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_one_function_in_other_words_is_the_same(name: str) -> None:
    one, other = map(of, SPELLINGS[name])
    assert one.same(other)
    assert one.gain == pytest.approx(other.gain, rel=1e-9)
    assert one.level(0.3) == pytest.approx(other.level(0.3), rel=1e-9)
    assert one.steepness(2.0) == pytest.approx(other.steepness(2.0), rel=1e-9)
    assert (one.odd, one.pair.slope, one.pair.squashes) == (other.odd, other.pair.slope, other.pair.squashes)


def test_shapes() -> None:
    assert of(torch.tanh).odd
    assert of(torch.tanh).squashes
    assert of(torch.relu).pair.slope == pytest.approx(1)
    assert of(lambda x: F.leaky_relu(x, 0.25)).pair.slope == pytest.approx(1.25)
    assert of(torch.sigmoid).pair.squashes
    assert of(torch.tanh).slope is None


@pytest.mark.parametrize(("q", "chi"), [(1.0, 0.5), (7.0, 0.5)])
def test_a_rectifier_halves_the_gradient_at_every_level(q: float, chi: float) -> None:
    assert of(torch.relu).steepness(q) == pytest.approx(chi, abs=1e-9)


def test_critical_gain_of_a_deep_tanh_goes_to_one() -> None:
    tanh = of(torch.tanh)
    gains = [tanh.critical_gain(depth) for depth in (2, 10, 100)]
    assert gains == sorted(gains, reverse=True)
    assert 1 < gains[-1] < 1.15 < gains[0] < tanh.gain


def test_a_function_without_gradient_has_slope_zero() -> None:
    assert float(derivative(lambda z: torch.ones_like(z))(Z).abs().sum()) == 0
    assert of(torch.sign).critical_gain(4) == pytest.approx(of(torch.sign).gain)


@pytest.mark.parametrize("slope", [0.01, 0.5])
def test_what_a_weight_reads_has_the_arguments_of_its_call(slope: float) -> None:
    graph = Graph(gs.record(Net(lambda x: F.leaky_relu(x, slope)[:, :].contiguous()), torch.randn(4, 6)))
    _, last = graph.weights.values()
    found = read_by(graph, last.data)
    assert found is not None
    assert found.name == "leaky_relu"
    assert found.gain == pytest.approx(sqrt(2 / (1 + slope**2)), rel=1e-9)


def test_what_is_no_activation_is_not_read() -> None:
    graph = Graph(gs.record(Net(lambda x: x), torch.randn(4, 6)))
    _, last = graph.weights.values()
    assert read_by(graph, last.data) is None


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_weight_reads_one_function_in_other_words(name: str) -> None:
    gains = []
    for phi in SPELLINGS[name]:
        graph = Graph(gs.record(Net(phi), torch.randn(4, 6)))
        _, last = graph.weights.values()
        found = read_by(graph, last.data)
        assert found is not None
        gains.append(found.gain)
    assert gains[0] == pytest.approx(gains[1], rel=1e-9)


def test_a_learned_slope_counts_as_that_of_torch() -> None:
    graph = Graph(gs.record(nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 4)), torch.randn(4, 6)))
    _, last = graph.weights.values()
    found = read_by(graph, last.data)
    assert found is not None
    assert found.gain == pytest.approx(gs.gain("prelu"), rel=1e-9)


def test_a_stream_that_is_added_to_is_no_activation() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            h = self.a(x)
            return self.c(h + self.b(torch.tanh(h)))

    graph = Graph(gs.record(Block(), torch.randn(4, 6)))
    assert read_by(graph, list(graph.weights.values())[-1].data) is None
