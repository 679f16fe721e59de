"""Mean-field theory against closed forms, published values, and wide networks that are really run."""

from math import acos, asin, inf, log, pi, sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.theory import MeanField, critical_line

WIDTH, DRAWS, PAIRS = 1024, 64, 16


def run(phi, field, x, layers, seed):
    """The pre-activations of a random fully connected network after each layer: `[samples, width]`."""
    h, seen = x, []
    for layer in range(layers):
        w = init.normal(std=sqrt(field.weight_variance / WIDTH))
        b = init.normal(std=sqrt(field.bias_variance))
        h = phi(h) @ init.fill_(torch.empty(WIDTH, WIDTH), w, seed=seed, name=f"w{layer}")
        h = h + init.fill_(torch.empty(WIDTH), b, seed=seed, name=f"b{layer}")
        seen.append(h)
    return seen


def pairs(q, c, seed):
    """Pairs of signals of mean square q and correlation c, exactly; pairs are orthogonal: `[2 * PAIRS, width]`."""
    basis = init.fill_(torch.empty(WIDTH, 2 * PAIRS), init.orthogonal(), seed=seed, name="x").t().double()
    a, b = basis[:PAIRS], basis[PAIRS:]
    return (torch.cat([a, c * a + sqrt(1 - c * c) * b]) * sqrt(q * WIDTH)).float()


class TestClosedForms:
    @given(st.floats(0.1, 3), st.floats(0, 1), st.floats(0.01, 10))
    @settings(max_examples=20, deadline=None)
    def test_relu(self, w, b, q):
        field = MeanField("relu", w, b)
        assert field.variance(q) == pytest.approx(w * q / 2 + b, rel=1e-9)
        assert field.slope(q) == pytest.approx(w / 2, rel=1e-9)
        assert field.variance_slope(q) == pytest.approx(w / 2, rel=1e-9)

    @given(st.floats(-1, 1))
    @settings(max_examples=20, deadline=None)
    def test_relu_correlations(self, c):
        """The arc-cosine kernel of Cho & Saul."""
        expected = (sqrt(1 - c * c) + (pi - acos(c)) * c) / pi
        assert MeanField("relu", 2.0).correlation(c, 1.7) == pytest.approx(expected, abs=1e-6)
        assert MeanField("relu", 2.0).correlation_slope(c, 1.7) == pytest.approx((pi - acos(c)) / pi, abs=1e-6)

    @given(st.floats(0.1, 5), st.floats(0, 1), st.floats(0.01, 10), st.floats(-1, 1))
    @settings(max_examples=20, deadline=None)
    def test_erf(self, w, b, q, c):
        """The arc-sine kernel of Williams."""
        field = MeanField(torch.erf, w, b)
        variance = w * 2 / pi * asin(2 * q / (1 + 2 * q)) + b
        assert field.variance(q) == pytest.approx(variance, rel=1e-9)
        assert field.slope(q) == pytest.approx(w * 4 / pi / sqrt(1 + 4 * q), rel=1e-9)
        product = w * 2 / pi * asin(2 * q * c / (1 + 2 * q)) + b
        assert field.correlation(c, q) == pytest.approx(product / variance, abs=1e-8)

    def test_slopes_are_derivatives_of_the_maps(self):
        for phi in ("tanh", "gelu", "silu", "elu"):
            field, d = MeanField(phi, 1.6, 0.1), 1e-4
            numeric = (field.variance(0.8 + d) - field.variance(0.8 - d)) / (2 * d)
            assert field.variance_slope(0.8) == pytest.approx(numeric, rel=1e-6)
            numeric = (field.correlation(0.5 + d, 0.8) - field.correlation(0.5 - d, 0.8)) / (2 * d)
            assert field.correlation_slope(0.5, 0.8) == pytest.approx(numeric, rel=1e-5)

    def test_vanishing_exploding_and_indifferent_signals(self):
        assert MeanField("relu", 2.0).fixed_point() == 1.0
        assert MeanField("relu", 1.9).fixed_point() == 0.0
        assert MeanField("relu", 2.1).fixed_point() == inf
        assert MeanField("tanh", 0.9).fixed_point() == 0.0
        assert MeanField("relu", 1.0, 0.5).fixed_point() == pytest.approx(1.0)
        assert MeanField("relu", 1.0).depth_scale_q() == pytest.approx(1 / log(2))
        assert MeanField("relu", 2.0).depth_scale_c() == inf
        with pytest.raises(GainstageError, match="explodes"):
            MeanField("relu", 2.1).slope()


class TestPublishedValues:
    def test_tanh_is_critical_at_176(self):
        """Schoenholz et al. 2017, section 3: sigma_b^2 = 0.05, sigma_w^2 = 1.76."""
        field = critical_line("tanh", 0.05)
        assert field.weight_variance == pytest.approx(1.76, abs=0.005)
        assert field.slope() == pytest.approx(1, abs=1e-9)
        assert field.depth_scale_c() == inf

    def test_the_critical_line_of_tanh_starts_at_one(self):
        """Poole et al. 2016, figure 1: without biases, order turns into chaos at sigma_w = 1."""
        assert critical_line("tanh", 0.0).weight_variance == pytest.approx(1, abs=1e-6)

    def test_he_is_critical_for_relu(self):
        """He et al. 2015; Schoenholz et al.: (2, 0) is ReLU's only critical point."""
        assert critical_line("relu", 0.0).weight_variance == pytest.approx(2, abs=1e-9)
        with pytest.raises(GainstageError, match="bias_variance=0"):
            critical_line("relu", 0.1)

    def test_selu(self):
        """Klambauer et al. 2017: the fixed point is 1 and the derivative of the variance map there 0.782648."""
        field = MeanField("selu", 1.0)
        assert field.fixed_point() == pytest.approx(1, abs=1e-7)
        assert field.variance_slope() == pytest.approx(0.782648, abs=1e-6)

    def test_depth_scales_peak_at_the_edge_of_chaos(self):
        """Schoenholz et al. 2017, figure 3: xi_c diverges at criticality, from both sides; xi_q stays finite."""
        scales = [MeanField("tanh", w, 0.05).depth_scale_c() for w in (1.0, 1.5, 1.7, 1.76, 1.8, 2.0, 3.0)]
        assert scales.index(max(scales)) == 3
        assert scales[:4] == sorted(scales[:4])
        assert scales[3:] == sorted(scales[3:], reverse=True)
        assert 1 < MeanField("tanh", 1.76, 0.05).depth_scale_q() < 2

    def test_order_and_chaos(self):
        assert MeanField("tanh", 1.5, 0.05).correlation_fixed_point() == 1.0
        chaotic = MeanField("tanh", 4.0, 0.05)
        c = chaotic.correlation_fixed_point()
        assert 0 < c < 0.3
        assert chaotic.correlation(c) == pytest.approx(c, abs=1e-9)


@pytest.mark.parametrize(
    ("name", "phi", "w", "b"),
    [
        ("tanh", torch.tanh, 1.76, 0.05),
        ("tanh", torch.tanh, 2.5, 0.3),
        ("relu", torch.relu, 2.0, 0.0),
        ("gelu", torch.nn.functional.gelu, 2.0, 0.1),
        ("selu", torch.nn.functional.selu, 1.0, 0.0),
    ],
)
def test_wide_networks_follow_the_maps(name, phi, w, b):
    """64 networks of width 1024, from signals of known q and c: within 3 %, 5 standard errors for ReLU."""
    field, q, c, layers = MeanField(name, w, b), 1.0, 0.6, 2
    runs = [run(phi, field, pairs(q, c, seed), layers, seed) for seed in range(DRAWS)]
    for layer in range(layers):
        q, c = field.variance(q), field.correlation(c, q)
        h = torch.stack([r[layer] for r in runs]).double()  # [draw, sample, width]
        assert float(h.square().mean()) == pytest.approx(q, rel=0.03)
        assert float((h[:, :PAIRS] * h[:, PAIRS:]).mean()) == pytest.approx(q * c, abs=0.03 * q)


def test_gradients_grow_by_the_slope():
    """Mean square of the gradient over 3 layers at the fixed point of a chaotic tanh network, within 3 % a layer."""
    field = MeanField("tanh", 2.5, 0.05)
    q, growth, layers = field.fixed_point(), [], 3
    for seed in range(16):
        x = pairs(q, 0.0, seed).requires_grad_()
        seen = run(torch.tanh, field, x, layers, seed)
        g = init.fill_(torch.empty(seen[-1].shape), init.normal(), seed=seed, name="g")
        growth.append(float(torch.autograd.grad(seen[-1], x, g)[0].square().mean() / g.square().mean()))
    assert (sum(growth) / len(growth)) ** (1 / layers) == pytest.approx(field.slope(), rel=0.03)


def test_a_correlation_decays_as_its_depth_scale_says():
    """The distance of the correlation from its fixed point, iterated by the map, falls to 1/e in xi_c layers."""
    field = MeanField("tanh", 1.3, 0.05)
    q, c, distance = field.fixed_point(), 0.95, []
    for _ in range(30):
        c = field.correlation(c, q)
        distance.append(1 - c)
    assert -10 / log(distance[29] / distance[19]) == pytest.approx(field.depth_scale_c(), rel=0.01)


class TestConvolutions:
    FIELD = MeanField("tanh", 1.5, 0.05)

    def test_covariance_of_a_wide_convolution(self):
        """512 channels, 8 circular positions, 100 draws: within 3 % of the variance, 5 standard errors."""
        n, channels, draws, taps = 8, 512, 100, [1.0, 2.0, 1.0]
        apart = (torch.arange(n)[:, None] - torch.arange(n)).abs()
        base = torch.exp(-torch.minimum(apart, n - apart) / 2.0).double() + 0.3
        mix, total = torch.linalg.cholesky(base).t().float(), torch.zeros(n, n)
        share = torch.tensor(taps).div(sum(taps)).sqrt() * sqrt(1.5 / channels)
        for seed in range(draws):
            h = init.fill_(torch.empty(channels, n), init.normal(), seed=seed, name="h") @ mix
            w = init.fill_(torch.empty(channels, channels, 3), init.normal(), seed=seed, name="w") * share
            b = init.fill_(torch.empty(channels, 1), init.normal(std=sqrt(0.05)), seed=seed, name="b")
            y = torch.nn.functional.conv1d(torch.nn.functional.pad(torch.tanh(h)[None], (1, 1), mode="circular"), w)
            total += (y[0] + b).t() @ (y[0] + b) / channels / draws
        predicted = self.FIELD.convolved(base, taps)
        assert float((total - predicted).abs().max() / predicted.diagonal().mean()) < 0.03

    def test_a_constant_image_follows_the_fully_connected_maps(self):
        one = torch.full((5, 5), 0.7)
        assert float(self.FIELD.convolved(one, [1, 1, 1])[0, 3]) == pytest.approx(self.FIELD.variance(0.7), rel=1e-6)

    def test_fine_patterns_die_first_unless_the_kernel_is_a_delta(self):
        """Xiao et al. 2018, section 2.3."""
        even = self.FIELD.mode_depth_scales(16, [1, 1, 1])
        assert even[0] == pytest.approx(self.FIELD.depth_scale_c())
        assert even[0] == max(even)
        assert even[3] < even[1]
        delta = self.FIELD.mode_depth_scales(16, [0, 1, 0])
        assert delta == pytest.approx([even[0]] * 9)

    def test_taps_must_be_shares(self):
        with pytest.raises(GainstageError, match="taps"):
            self.FIELD.mode_depth_scales(8, [-1, 2])


def test_variances_must_make_sense():
    for w, b in ((0.0, 0.0), (-1.0, 0.0), (1.0, -0.1), (inf, 0.0), (float("nan"), 0.0)):
        with pytest.raises(GainstageError, match="weight_variance"):
            MeanField("tanh", w, b)
