"""DropConnect against what it means: every mask written out."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gainstage.nn import LayerError
from gainstage.nn.drop import DropConnect, drop_connect, drop_connect_moments, expected_activation


@settings(max_examples=15, deadline=None)
@given(st.floats(0.01, 0.95), st.integers(0, 100))
def test_moments_are_those_over_all_masks(p: float, seed: int) -> None:
    torch.manual_seed(seed)
    layer, x = nn.Linear(2, 2).double(), torch.randn(4, 2, dtype=torch.float64)
    mean, square = torch.zeros(4, 2, dtype=torch.float64), torch.zeros(4, 2, dtype=torch.float64)
    for bits in itertools.product((0.0, 1.0), repeat=6):  # 4 weights and 2 biases
        mask = torch.tensor(bits, dtype=torch.float64)
        weight = (1 - p) ** sum(bits) * p ** (6 - sum(bits))
        z = (x @ (layer.weight * mask[:4].view(2, 2)).T + layer.bias * mask[4:]) / (1 - p)
        mean, square = mean + weight * z, square + weight * z.square()
    mu, variance = drop_connect_moments(layer, x, p)
    torch.testing.assert_close(mu, mean)
    torch.testing.assert_close(variance, square - mean.square())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (3, 4, 9)),
        (nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular", bias=False), (3, 4, 5, 6)),
        (nn.Conv3d(2, 4, 2, dilation=2), (3, 2, 4, 4, 5)),
        (nn.Linear(4, 6), (3, 7, 4)),
    ],
)
def test_each_sample_has_a_mask_of_its_own(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape[1:]).expand(shape)  # the same sample n times
    torch.manual_seed(0)
    own, shared = drop_connect(layer, x, 0.5), drop_connect(layer, x, 0.5, per_sample=False)
    assert own.shape == layer(x).shape
    assert not torch.allclose(own[0], own[1])
    torch.testing.assert_close(shared[0], shared[1])
    torch.testing.assert_close(drop_connect(layer, x, 0.0), layer(x))
    assert torch.equal(drop_connect(layer, x, 1.0), torch.zeros_like(own))


def test_moments_of_a_convolution_are_those_that_drawing_gives() -> None:
    torch.manual_seed(0)
    layer, x = nn.Conv2d(2, 3, 3, padding=1), torch.randn(1, 2, 4, 4).expand(20_000, -1, -1, -1)
    drawn = drop_connect(layer, x, 0.4, generator=torch.Generator().manual_seed(1)).detach()
    mean, variance = (m[0].detach() for m in drop_connect_moments(layer, x[:1], 0.4))
    # 48 means of 20,000 draws at 7 standard errors, and the variance within 15 %, 12 of its standard errors: < 1e-9
    assert ((drawn.mean(0) - mean).abs() < 7 * (variance / 20_000).sqrt()).all()
    assert ((drawn.var(0) / variance - 1).abs() < 0.15).all()


@pytest.mark.parametrize(("mean", "std"), list(itertools.product((-2.0, 0.0, 0.7), (0.0, 0.5, 3.0))))
def test_expected_activations_are_the_closed_forms(mean: float, std: float) -> None:
    mu, variance = torch.tensor(mean, dtype=torch.float64), torch.tensor(std**2, dtype=torch.float64)
    scaled = mean / std if std else math.copysign(math.inf, mean)
    upper = 0.5 * (1 + math.erf(scaled / math.sqrt(2)))
    density = math.exp(-(scaled**2) / 2) / math.sqrt(2 * math.pi)
    relu = mean * upper + std * density if std else max(mean, 0.0)
    assert float(expected_activation(torch.relu, mu, variance)) == pytest.approx(relu, abs=0.01 * std + 1e-12)
    probit = 0.5 * (1 + math.erf(mean / math.sqrt(2 * (1 + std**2))))
    normal = torch.distributions.Normal(torch.zeros_like(mu), 1)
    assert float(expected_activation(normal.cdf, mu, variance)) == pytest.approx(probit, abs=2e-3 if std > 1 else 1e-6)


def test_evaluation_is_nearer_to_the_average_of_training_than_the_mean_field() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 40)
    layer = DropConnect(nn.Linear(40, 30), 0.5, activation=torch.relu, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        truth = layer(x.repeat(2000, 1)).view(2000, 4, 30).mean(0)
        gaussian, mean_field = layer.eval()(x), torch.relu(layer.layer(x))
    error = [float((estimate - truth).square().mean().sqrt()) for estimate in (gaussian, mean_field)]
    assert error[0] < 0.03  # the Monte Carlo error of the truth is 0.02, and the quadrature's at most 0.01 sigma
    assert error[1] > 3 * error[0]


def test_without_an_activation_evaluation_is_the_layer() -> None:
    layer = DropConnect(nn.Linear(4, 3), 0.5).eval()
    x = torch.randn(2, 4)
    assert torch.equal(layer(x), layer.layer(x))
    assert set(layer.state_dict()) == {"layer.weight", "layer.bias"}


def test_all_weights_dropped_gives_the_activation_of_zero() -> None:
    layer = DropConnect(nn.Linear(4, 3), 1.0, activation=torch.sigmoid)
    assert torch.equal(layer(torch.randn(2, 4)), torch.full((2, 3), 0.5))
    assert layer.eval()(torch.randn(2, 4)).isfinite().all()


def test_gradients_reach_kept_weights_only() -> None:
    layer = DropConnect(nn.Linear(5, 4, bias=False), 0.5, per_sample=False, generator=torch.Generator().manual_seed(0))
    nn.init.ones_(layer.layer.weight)
    kept = layer(torch.eye(5)).T != 0
    layer.generator.manual_seed(0)
    layer(torch.ones(1, 5)).sum().backward()
    assert torch.equal(layer.layer.weight.grad != 0, kept)


def test_an_input_of_zeros_has_a_finite_gradient_in_evaluation() -> None:
    layer = DropConnect(nn.Linear(4, 3, bias=False), 0.5, activation=torch.tanh).eval()
    x = torch.zeros(2, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.isfinite().all()


def test_what_is_not_linear_is_refused() -> None:
    with pytest.raises(LayerError, match=r"given LSTM; expected nn\.Linear"):
        DropConnect(nn.LSTM(3, 3))
    with pytest.raises(LayerError, match="p is 1"):
        drop_connect_moments(nn.Linear(2, 2), torch.ones(1, 2), 1.0)
    with pytest.raises(LayerError, match="remove_parametrizations"):
        DropConnect(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))
