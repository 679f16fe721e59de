"""Names of Keras and JAX mean what they mean there."""

import math
import os

import pytest
import torch

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras

from gainstage import init
from gainstage.init import stored
from gainstage.init._law import law

SHAPE = (300, 200)  # fan_in 200, fan_out 300
TRUNCATED = 0.8796256610342398
KERAS = {  # standard deviation of what Keras draws, by the formulas of keras.initializers
    "GlorotNormal": math.sqrt(2 / 500),
    "GlorotUniform": math.sqrt(2 / 500),
    "HeNormal": math.sqrt(2 / 200),
    "HeUniform": math.sqrt(2 / 200),
    "LecunNormal": math.sqrt(1 / 200),
    "LecunUniform": math.sqrt(1 / 200),
    "RandomNormal": 0.05,
    "RandomUniform": 0.05 / math.sqrt(3),
    "TruncatedNormal": 0.05 * TRUNCATED,
    "VarianceScaling": math.sqrt(1 / 200),
}


@pytest.mark.parametrize("name", KERAS)
def test_a_class_of_keras_by_any_of_its_spellings(name):
    w = init.fill_(torch.empty(SHAPE), law(name), seed=1, name="w")
    assert w.std().item() == pytest.approx(KERAS[name], rel=0.02)
    for spelling in (name.lower(), f"keras.initializers.{name}", f"tf.keras.initializers.{name}"):
        assert law(spelling) == law(name)


@pytest.mark.parametrize("name", KERAS)
def test_keras_itself_draws_the_same_distribution(name):
    theirs = torch.as_tensor(keras.ops.convert_to_numpy(getattr(keras.initializers, name)(seed=0)(SHAPE[::-1])))
    mine = init.fill_(torch.empty(SHAPE), law(name), seed=1, name="w")
    at = torch.linspace(0.01, 0.99, 25)
    difference = torch.quantile(mine.flatten(), at) - torch.quantile(theirs.flatten(), at)
    assert (difference / theirs.std()).abs().max() < 0.05
    assert (torch.quantile(mine.abs(), 0.998) / torch.quantile(theirs.abs(), 0.998) - 1).abs() < 0.03


def test_arguments_are_those_of_the_framework():
    assert law("TruncatedNormal", stddev=0.1) == law("trunc_normal", std=0.1, a=-0.2, b=0.2)
    assert law("VarianceScaling", scale=2.0, distribution="untruncated_normal").distribution == "normal"
    assert law("RandomUniform", minval=-1, maxval=2) == law("uniform", a=-1, b=2)
    assert law("keras.initializers.Zeros") == law("zeros")
    with pytest.raises(init.UnknownLaw, match="stddev"):
        law("TruncatedNormal", std=0.1)


def test_names_of_jax_are_truncated_where_ours_are_not():
    assert law("he_normal") != law("jax.nn.initializers.he_normal") == law("HeNormal")
    assert law("jax.lecun_normal") == law("variance_scaling")
    assert law("jax.truncated_normal", stddev=0.5) == law("trunc_normal", std=0.5, a=-1, b=1)
    assert law("jax.normal", stddev=0.5) == law("normal", std=0.5)
    assert law("jax.uniform", scale=0.3) == law("uniform", a=0.0, b=0.3)
    assert law("jax.glorot_uniform") == law("xavier_uniform")
    assert law("jax.variance_scaling", scale=2.0, mode="fan_in", distribution="truncated_normal") == law("HeNormal")
    assert law("jax.orthogonal", scale=2.0) == law("orthogonal", gain=2.0)
    assert law("jax.delta_orthogonal", scale=2.0) == law("delta_orthogonal", gain=2.0)


@pytest.mark.parametrize("name", ["HeNormal", "jax.he_normal", "Orthogonal", "TruncatedNormal", "jax.normal"])
def test_a_law_by_a_foreign_name_is_stored_as_one_of_ours(name):
    assert stored.law_from_json(law(name).to_json()) == law(name)


def test_modes_and_distributions_in_any_case():
    upper = law("variance_scaling", mode="FAN_OUT", distribution="Normal")
    assert upper == law("variance_scaling", mode="fan_out", distribution="normal")
    assert law("he_normal", mode="Fan_In") == law("he_normal")
    w = init.kaiming_normal_(torch.empty(64, 64), mode="FAN_OUT", nonlinearity="gelu")
    assert w.std().item() == pytest.approx(1.5335 / 8, rel=0.1)


def test_named_axes_need_no_two_dimensions():
    assert init.fans((64,), in_axes=0, out_axes=()) == init.Fans(64, 1)
    assert init.fans((64,), in_axes=(), out_axes=0) == init.Fans(1, 64)
    fans = init.fans((10_000,), in_axes=0, out_axes=())
    w = init.fill_(torch.empty(10_000), "he_normal", name="w", fans=fans)
    assert w.std().item() == pytest.approx(math.sqrt(2 / 10_000), rel=0.05)


FILLS = [init.lecun_normal_, init.delta_orthogonal_, init.truncated_normal_]


@pytest.mark.parametrize("fill", FILLS)
def test_in_place_nothing_is_drawn_for_no_elements(fill):
    w, state = torch.empty(0, 5), torch.get_rng_state()
    assert fill(w) is w
    assert torch.equal(torch.get_rng_state(), state)
