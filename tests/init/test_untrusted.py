"""Whatever is handed to the public functions, by mistake or in a file: a result, or one error of ours that is short."""

import inspect
import json
import math
import warnings
from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.init._law import _KINDS, _NAMED
from gainstage.init.fillable import check_fillable
from gainstage.init.stored import law_from_json

LONGEST = 1000  # characters of a message

HUGE = [10**400, -(10**400), 10**4000, 2**63, 1e308, -1e308, 1e39, 5e-324, math.nan, math.inf, -math.inf]
TEXTS = ["9" * 5000, "inf", "nan", "-1", "", "fan_in", "normal", "gelu", "q", "singular", "\ud800", "x" * 5000]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.floats(-3, 3),
    st.sampled_from(HUGE),
    st.sampled_from(TEXTS),
)
JSON = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(TEXTS), inner))
)
OBJECTS = [b"x", 1j, [[]], {1: 2}, object(), init.normal, init.normal(), torch.nn.ReLU(), np.float32(2)]
JUNK = st.one_of(JSON, st.sampled_from(OBJECTS))
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def attempt(call):
    """The result of `call`, or None after an error of ours; numpy and torch must have nothing to warn of either."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call()
        except GainstageError as error:
            message = str(error)
    assert 10 < len(message) < LONGEST, message[:200]
    return None


def use(law):
    """What is done with a law: printed, stored, read again, scaled, filled."""
    assert isinstance(law, init.Law)
    assert len(str(law)) < LONGEST
    stored = json.loads(json.dumps(law.to_json(), allow_nan=False))
    assert law_from_json(stored) == law
    for factor in (0.5, -1):
        attempt(lambda factor=factor: law.scaled(factor))
    for shape in ((4, 4), (6,), (4, 4, 3)):
        w = torch.full(shape, 7.0)
        if attempt(lambda w=w: init.fill_(w, law, name="w")) is None:
            assert bool((w == 7).all())
        else:
            assert not bool(w.isnan().any())


def arguments(function):
    names = [p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    optional = [p.name for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    return st.fixed_dictionaries(dict.fromkeys(names, JUNK), optional=dict.fromkeys(optional, JUNK))


@pytest.mark.parametrize("name", sorted(_NAMED))
@given(data=st.data())
@settings(MANY, max_examples=20)
def test_laws(name, data):
    given_arguments = data.draw(arguments(_NAMED[name]))
    law = attempt(lambda: _NAMED[name](**given_arguments))
    if law is not None:
        use(law)


STORED = st.deferred(
    lambda: st.sampled_from(sorted(_KINDS)).flatmap(
        lambda kind: st.fixed_dictionaries(
            {"law": st.just(kind)}, optional={f.name: st.one_of(JSON, STORED, USUAL) for f in fields(_KINDS[kind])}
        )
    )
)
USUAL = st.sampled_from([1.0, 2, 0.5, "fan_in", "normal", "a", True, [{"law": "normal", "std": 1}] * 2, "singular"])


@given(STORED)
@settings(MANY, max_examples=150)
def test_stored_laws_with_wrong_values(stored):
    law = attempt(lambda: law_from_json(stored))
    if law is not None:
        use(law)


@given(
    st.one_of(
        JUNK,
        st.fixed_dictionaries({"law": JUNK}),
        st.fixed_dictionaries({"law": st.sampled_from(sorted(_NAMED)), "a": JUNK}),
    )
)
@MANY
def test_stored_laws_that_are_none(stored):
    law = attempt(lambda: law_from_json(stored))
    if law is not None:
        use(law)


@pytest.mark.parametrize("depth", [20, 40, 1000, 100_000])
@pytest.mark.parametrize("wrap", [lambda x: {"law": "blocks", "laws": [x], "dim": 0},
                                  lambda x: {"law": "scaled", "of": x, "factor": 2.0}])  # fmt: skip
def test_laws_within_one_another(wrap, depth):
    stored = {"law": "normal", "mean": 0.0, "std": 1e-6}
    for _ in range(depth):
        stored = wrap(stored)
    if depth < 32:
        law = law_from_json(stored)
        assert law_from_json(law.to_json()) == law
        assert init.fill_(torch.empty(4), law, name="w").isfinite().all()
    else:
        with pytest.raises(init.UnknownLaw, match="at most 32"):
            law_from_json(stored)


def test_a_stored_law_of_a_number_with_too_many_digits():
    for value in ("9" * 5000, 10**5000, [1] * 5000, 1e400):
        for stored in ({"law": "normal", "std": value}, {"law": "orthogonal", "heads": value}, {"law": value}):
            with pytest.raises(GainstageError) as error:
                law_from_json(stored)
            assert len(str(error.value)) < 300


def test_numbers_with_more_digits_than_python_prints():
    many = 10**5000
    for call in (
        lambda: init.normal(std=many),
        lambda: init.orthogonal(heads=many),
        lambda: init.trunc_normal(a=many),
        lambda: init.blocks((init.zeros(),), dim=many),
        lambda: init.fill_(torch.empty(3), init.zeros(), name="w", seed=many),
        lambda: init.fill_(torch.empty(3), init.zeros(), name=many),
        lambda: init.sample(init.zeros(), (many,), name="w"),
        lambda: init.gain("relu", mean_square=many),
        lambda: init.fans((many, 3)),
        lambda: init.law(many),
    ):
        with pytest.raises(GainstageError) as error:
            call()
        assert len(str(error.value)) < LONGEST


FUNCTIONS = {
    "gain": lambda a, b, c: init.gain(a, mean_square=b),
    "gain of a name": lambda a, b, c: init.gain("relu", mean_square=b),
    "glu_gain": lambda a, b, c: init.glu_gain(a),
    "activation": lambda a, b, c: init.activation(a),
    "calculate_gain": lambda a, b, c: init.calculate_gain(a),
    "law": lambda a, b, c: init.law(a),
    "law of a name": lambda a, b, c: init.law("normal", std=a, mean=b),
    "fans": lambda a, b, c: init.fans(a),
    "fans of a convolution": lambda a, b, c: init.fans((4, 6, 3), stride=a, groups=b),
    "fans of axes": lambda a, b, c: init.fans((4, 6, 3), in_axes=a, out_axes=b, batch_axes=c),
    "fans of sizes": lambda a, b, c: init.fans((a, b, c)),
    "gaussian_mean": lambda a, b, c: init.gaussian_mean(torch.tanh, variance=a),
    "gaussian_product_mean": lambda a, b, c: init.gaussian_product_mean(torch.tanh, torch.tanh, a, b),
    "sample": lambda a, b, c: init.sample("normal", (3, 2), name="w", dtype=a),
    "sample of a shape": lambda a, b, c: init.sample("normal", (3, a) if b is True else a, name="w"),
    "fill_": lambda a, b, c: init.fill_(torch.empty(4, 3), a, name=b, seed=c),
    "fill_ with fans": lambda a, b, c: init.fill_(torch.empty(4, 3), "he_normal", name="w", fans=a),
    "fill_ with two fans": lambda a, b, c: init.fill_(torch.empty(4, 3), "he_normal", name="w", fans=(a, b)),
    "fill_ no tensor": lambda a, b, c: init.fill_(a, "normal", name="w"),
    "fill_ with a seed": lambda a, b, c: init.fill_(torch.empty(3), "normal", name="w", seed=a),
    "fill_all_": lambda a, b, c: init.fill_all_([a, b]),
    "fill_all_ of items": lambda a, b, c: init.fill_all_([(a, torch.empty(3, 3), b)]),
    "check_fillable": lambda a, b, c: check_fillable(torch.empty(3, 3), a, name="w", fans=b),
    "truncated_normal_": lambda a, b, c: init.truncated_normal_(torch.empty(3, 3), a, b, c),
    "orthogonal_": lambda a, b, c: init.orthogonal_(torch.empty(3, 3).bfloat16(), a, scale=b, heads=c),
    "identity_": lambda a, b, c: init.identity_(torch.empty(3, 3), a, b),
    "mimetic_": lambda a, b, c: init.mimetic_(torch.empty(4, 4), torch.empty(4, 4), heads=a),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@given(a=JUNK, b=JUNK, c=JUNK)
@settings(MANY, max_examples=30)
def test_functions(name, a, b, c):
    attempt(lambda: FUNCTIONS[name](a, b, c))
