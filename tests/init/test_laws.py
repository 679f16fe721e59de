"""Laws as values, and what they draw: closed forms, moments, scaling, storage, packing."""

import dataclasses
import json
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage import init
from gainstage.init._law import _NAMED
from gainstage.init.stored import law_from_json

GATES = init.blocks((init.zeros(), init.ones(), init.normal(std=0.1), init.orthogonal()))
ALL = [
    init.constant(0.3),
    init.zeros(),
    init.ones(),
    init.normal(0.5, 0.1),
    init.uniform(-0.1, 0.4),
    init.trunc_normal(0.1, 0.5, -0.2, 0.3),
    init.trunc_normal(a=1.0, b=math.inf),
    init.truncated_normal(0.2, 0.1, cut=1.5),
    *(init.variance_scaling(1.5, mode, shape) for mode in ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
      for shape in ("normal", "uniform", "truncated_normal")),
    *(init.law(name) for name in _NAMED if name.split("_")[0] in ("xavier", "he", "lecun", "keras", "caffe", "torch")),
    init.small_normal(),
    init.scaled_normal(12, sigma=0.01),
    init.gpt2_residual(12),
    init.fixup(16),
    init.orthogonal(1.3),
    init.orthogonal(scale="fan_in", heads=4),
    init.mirrored(2.0),
    init.mirrored(rows=False),
    init.mirrored(columns=False),
    init.identity(0.5),
    init.zero(),
    init.sparse(0.5),
    init.mimetic("q", 4, pair="attn"),
    init.mimetic("o", pair="attn"),
    GATES,
    init.blocks((init.he_normal(), init.zeros()), dim=1),
    init.he_normal().scaled(-0.5),
    init.padded(init.normal(), 3),
]  # fmt: skip


def fill(law, shape=(48, 48), **options):
    return init.fill_(torch.empty(shape), law, **({"name": "w", "seed": 1} | options))


@pytest.mark.parametrize("law", ALL, ids=str)
class TestEveryLaw:
    def test_is_a_frozen_value(self, law):
        assert isinstance(law, init.Law)
        assert hash(law) == hash(pickle.loads(pickle.dumps(law)))
        assert law == pickle.loads(pickle.dumps(law))
        with pytest.raises(dataclasses.FrozenInstanceError):
            law.kind = "other"

    def test_is_stored_as_plain_json(self, law):
        data = json.loads(json.dumps(law.to_json(), allow_nan=False))
        again = law_from_json(data)
        assert again == law
        assert again.name == law.name
        assert str(again) == str(law)

    def test_prints_short(self, law):
        assert len(str(law)) <= 80
        assert law.name.split("(")[0] in str(law) or law.name in ("constant", "blocks")

    def test_concrete_draws_the_same(self, law):
        law.check((48, 48))
        assert torch.equal(fill(law), fill(law.concrete((48, 48))))

    @pytest.mark.parametrize("factor", [0.5, 3.0, -1.0, 0.0])
    def test_scaled_multiplies_every_value(self, law, factor):
        torch.testing.assert_close(fill(law.scaled(factor)), fill(law) * factor, rtol=3e-6, atol=1e-7)

    def test_scaling_twice_is_scaling_by_the_product(self, law):
        torch.testing.assert_close(fill(law.scaled(-2).scaled(0.25)), fill(law.scaled(-0.5)), rtol=3e-6, atol=1e-7)

    def test_a_tensor_without_elements_is_returned_as_it_is(self, law):
        for shape in ((0, 48), (48, 0), (0,)):
            law.check(shape)
            w = torch.empty(shape)
            assert init.fill_(w, law, name="w") is w


MOMENTS = [
    (init.normal(0.5, 0.1), 0.5, 0.1),
    (init.uniform(-1, 3), 1, 4 / math.sqrt(12)),
    (init.truncated_normal(0.3, 2.0), 0.3, 2.0),
    (init.truncated_normal(0.0, 2.0, cut=0.5), 0.0, 2.0),
    (init.truncated_normal(0.0, 2.0, cut=0.01), 0.0, 2.0),
    (init.truncated_normal(0.0, 2.0, cut=9.0), 0.0, 2.0),
    (init.xavier_normal(), 0, math.sqrt(2 / 1500)),
    (init.xavier_uniform(2.0), 0, 2 * math.sqrt(2 / 1500)),
    (init.caffe_xavier_normal(), 0, math.sqrt(1 / 500)),
    (init.caffe_xavier_uniform(), 0, math.sqrt(1 / 500)),
    (init.he_normal(), 0, math.sqrt(2 / 500)),
    (init.he_normal(mode="fan_out"), 0, math.sqrt(2 / 1000)),
    (init.he_uniform(a=1.0), 0, math.sqrt(1 / 500)),
    (init.he_normal(nonlinearity="gelu"), 0, init.gain("gelu") / math.sqrt(500)),
    (init.he_normal(nonlinearity="relu"), 0, math.sqrt(2 / 500)),
    (init.lecun_normal(), 0, math.sqrt(1 / 500)),
    (init.lecun_uniform(), 0, math.sqrt(1 / 500)),
    (init.torch_default(), 0, math.sqrt(1 / 1500)),
    (init.keras_default(), 0, math.sqrt(2 / 1500)),
    (init.keras_glorot_normal(), 0, math.sqrt(2 / 1500)),
    (init.keras_he_normal(), 0, math.sqrt(2 / 500)),
    (init.keras_lecun_normal(), 0, math.sqrt(1 / 500)),
    (init.variance_scaling(3.0, "fan_geo_avg"), 0, math.sqrt(3 / math.sqrt(500 * 1000))),
    (init.small_normal(), 0, 0.02),
    (init.scaled_normal(12, 0.01), 0, 0.01 / math.sqrt(24)),
    (init.gpt2_residual(12), 0, 0.02 / math.sqrt(24)),
    (init.fixup(16, 3), 0, 16**-0.25 * math.sqrt(2 / 500)),
    (init.orthogonal(2.0), 0, 2 / math.sqrt(1000)),
    (init.orthogonal(2.0, scale="fan_in"), 0, 2 / math.sqrt(500)),
    (init.mirrored(2.0, columns=False), 0, 2 / math.sqrt(500)),
    (init.mirrored(2.0), 0, 2 / math.sqrt(250)),
]


@pytest.mark.parametrize(("law", "mean", "std"), MOMENTS, ids=lambda x: str(x) if isinstance(x, init.Law) else "")
def test_mean_and_standard_deviation(law, mean, std):
    """500,000 draws: the mean to 6 standard errors, the deviation to 0.7 % (7 standard errors of a normal's)."""
    w = fill(law, (1000, 500)).double()
    assert abs(float(w.mean()) - mean) < 6 * std / 500_000**0.5
    assert float(w.std()) == pytest.approx(std, rel=0.007)


@given(st.floats(-3, 3), st.floats(0.1, 3), st.floats(-2.5, 2.4), st.floats(0.05, 4))
@settings(max_examples=30, deadline=None)
def test_a_truncated_normal_stays_in_its_window(mean, std, low, width):
    """And has the mean of the closed form, to 6 standard errors (2e-9)."""
    a, b = mean + low * std, mean + (low + width) * std
    w = fill(init.trunc_normal(mean, std, a, b), (20_000,)).double()
    assert w.min() >= torch.tensor(a).float()
    assert w.max() <= torch.tensor(b).float()

    def phi(x):
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    mass = (math.erf((low + width) / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2
    expected = mean + std * (phi(low) - phi(low + width)) / mass
    assert abs(float(w.mean()) - expected) < 6 * width * std / 2 / 20_000**0.5


def test_windows_deep_in_a_tail():
    """Kolmogorov distance to scipy's distribution: beyond 2.7/sqrt(n) with probability 9e-7."""
    from scipy.stats import truncnorm

    for a, b in ((3.0, 5.0), (-5.0, -3.0), (4.0, 4.1), (2.0, math.inf), (-math.inf, -4.5)):
        w = fill(init.trunc_normal(0, 1, a, b), (200_000,)).double().sort().values
        rank = (torch.arange(200_000) + 0.5) / 200_000
        uniform = torch.from_numpy(truncnorm.cdf(w.numpy(), a, b))
        assert float((uniform - rank).abs().max()) < 2.7 / 200_000**0.5


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 7), st.sampled_from([0, 1, -1]))
@settings(max_examples=30, deadline=None)
def test_blocks_are_their_laws_in_their_own_streams(parts, height, width, dim):
    laws = [init.he_normal().scaled(i + 1) if i % 3 else init.zeros() for i in range(parts)]
    block = (height, width)
    shape = (height * parts, width) if dim == 0 else (height, width * parts)
    whole = fill(init.blocks(laws, dim), shape, name="qkv")
    expected = torch.cat([fill(law, block, name=f"qkv[{i}]") for i, law in enumerate(laws)], dim)
    assert torch.equal(whole, expected)


def test_blocks_of_blocks_and_given_fans():
    inner = init.blocks((init.lecun_normal(), init.zeros()), dim=1)
    w = fill(init.blocks((inner, inner)), (8, 6), name="w", fans=init.Fans(100, 1))
    expected = fill(init.lecun_normal(), (4, 3), name="w[1][0]", fans=init.Fans(100, 1))
    assert torch.equal(w[4:, :3], expected)
    assert float(w[:, 3:].abs().max()) == 0


def test_blocks_of_biases():
    forget = init.blocks((init.zeros(), init.ones(), init.zeros(), init.zeros()))
    assert fill(forget, (8,)).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert str(init.blocks((init.he_normal(),) * 3)) == "3 x he_normal"
    assert str(init.lecun_normal(1.5)) == "lecun_normal(gain=1.5)"
    assert str(init.he_normal(mode="fan_out")) == "he_normal(scale=2, fan_out)"


def test_given_fans_are_used():
    wide = fill(init.lecun_normal(), (200, 300), fans=init.Fans(10_000, 5))
    assert float(wide.std()) == pytest.approx(0.01, rel=0.02)
    assert fill(init.lecun_normal(), (2000,), fans=init.Fans(4, 4)).std() == pytest.approx(0.5, rel=0.15)


def test_names_find_their_laws():
    assert init.law("he_normal") == init.he_normal() == init.kaiming_normal() == init.law("kaiming_normal_")
    assert init.law("glorot_uniform") == init.xavier_uniform()
    assert init.law("normal", std=0.5) == init.normal(std=0.5)
    assert init.fill_(torch.empty(3), "zeros", name="b").tolist() == [0, 0, 0]
    for name in ("hee_normal", "othogonal", "Xavier_norml", "delta_ortogonal"):
        with pytest.raises(init.UnknownLaw, match="Did you mean"):
            init.law(name)


def test_the_two_xaviers_differ_unless_the_fans_agree():
    assert init.xavier_normal() != init.caffe_xavier_normal()
    assert init.caffe_xavier_normal() == init.lecun_normal()
    square = (64, 64)
    assert init.xavier_normal().concrete(square) == init.caffe_xavier_normal().concrete(square)


def test_every_name_has_a_law_and_a_function():
    """A name without underscore gives a law; with one it fills in place."""
    both = [n for n in dir(init) if n.endswith("_") and not n.startswith("_")]
    without = {n for n in both if not hasattr(init, n[:-1])}
    assert without <= {"eye_", "fill_", "fill_all_", "fill_part_"}
    assert {"mirrored_", "zero_", "mimetic_", "fixup_", "delta_orthogonal_", "scaled_normal_"} <= set(both)
