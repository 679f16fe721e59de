"""`check_fillable`: every fill that would fail is refused, no other, and nothing is touched."""

import itertools
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gainstage import init
from gainstage.init.fillable import check_fillable
from gainstage.init.stored import law_from_json


@pytest.mark.parametrize("law", [init.normal(), init.orthogonal(), init.constant(0.3)], ids=str)
@pytest.mark.parametrize(
    "dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz], ids=str
)
def test_float8_is_the_float32_number_rounded(law, dtype):
    exact = init.fill_(torch.empty(40, 50), law, name="w").to(dtype).view(torch.uint8)
    for w in (torch.empty(40, 50, dtype=dtype), torch.empty(50, 40, dtype=dtype).t()):
        check_fillable(w, law, name="w")
        assert torch.equal(init.fill_(w, law, name="w").view(torch.uint8), exact)


def quietly(make):
    """Torch warns that some of these are prototypes, or on their way out."""

    def made():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()

    return made


REFUSED = {
    "complex": (lambda: torch.ones(4, 4, dtype=torch.complex64), "float tensor"),
    "integers": (lambda: torch.ones(4, 4, dtype=torch.int32), "float tensor"),
    "quantized": (quietly(lambda: torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8)), "float tensor"),
    "a scale of float8": (lambda: torch.ones(4, 4).to(torch.float8_e8m0fnu), "float tensor"),
    "sparse": (lambda: torch.eye(4).to_sparse(), "dense"),
    "compressed": (quietly(lambda: torch.eye(4).to_sparse_csr()), "dense"),
    "nested": (quietly(lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])), "nested"),
    "expanded": (lambda: torch.ones(1, 4).expand(4, 4), ".contiguous()"),
    "overlapping": (lambda: torch.ones(20).as_strided((4, 4), (2, 1)), ".contiguous()"),
    "overlapping at one place": (lambda: torch.ones(20).as_strided((3, 4), (3, 2)), ".contiguous()"),
    "lazy": (lambda: nn.LazyLinear(3).weight, "Run the model once"),
    "an array": (lambda: torch.ones(4, 4).numpy(), "init.sample"),
    "nothing": (lambda: None, "NoneType"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_filled_is_refused_before_anything_is_written(name):
    make, words = REFUSED[name]
    target, first = make(), torch.ones(3)
    for call in (
        lambda: check_fillable(target, init.normal(), name="w"),
        lambda: init.fill_(target, init.normal(), name="w"),
        lambda: init.fill_all_([("first", first, init.normal()), ("w", target, init.normal())]),
    ):
        with pytest.raises(init.CannotFill) as error:
            call()
        assert words in str(error.value)
    assert first.tolist() == [1, 1, 1]


def test_laws_names_fans_and_ranges_are_checked_too():
    w = torch.ones(4, 4)
    wrong = [
        (init.CannotFill, (w, init.normal), {"name": "w"}),
        (init.CannotFill, (w, None), {"name": "w"}),
        (init.UnknownLaw, (w, "he_norml"), {"name": "w"}),
        (init.UnknownLaw, (w, "normal "), {"name": "w"}),
        (init.CannotFill, (w, init.normal()), {"name": None}),
        (init.CannotFill, (w, init.normal()), {"name": "half \ud800"}),
        (init.CannotFill, (w, init.he_normal()), {"name": "w", "fans": (1,)}),
        (init.CannotFill, (w, init.he_normal()), {"name": "w", "fans": ("a", "b")}),
        (init.CannotFill, (w, init.he_normal()), {"name": "w", "fans": (0, 3)}),
        (init.CannotFill, (w, init.he_normal()), {"name": "w", "fans": (float("inf"), 3)}),
        (init.CannotFill, (w, init.orthogonal(scale="fan_in")), {"name": "w", "fans": (0, 3)}),
        (init.CannotFill, (w, init.normal(std=1e30).scaled(-1e30)), {"name": "w"}),
        (init.CannotFill, (w, init.blocks((init.zeros(), init.uniform(-3e38, 3e38)))), {"name": "w"}),
        (init.CannotFill, (w, init.he_normal()), {"name": "w", "fans": (1e-320, 3)}),
        (init.UnknownLaw, (w, "constant"), {"name": "w"}),
    ]
    for error, arguments, named in wrong:
        with pytest.raises(error):
            check_fillable(*arguments, **named)
    assert w.sum() == 16
    check_fillable(w, "he_normal", name="w", fans=(2, 3))
    check_fillable(torch.empty(4, 4, device="meta"), init.orthogonal(), name="w")
    assert w.sum() == 16


def test_seeds():
    for seed in (1.5, "1", None, 2**5000):
        with pytest.raises(init.CannotFill, match="seed is an integer"):
            init.fill_(torch.ones(3), init.normal(), seed=seed, name="w")
        with pytest.raises(init.CannotFill, match="seed is an integer"):
            init.fill_all_([("w", torch.ones(3), init.normal())], seed=seed)
    same = [init.fill_(torch.ones(3), init.normal(), seed=s, name="w") for s in (7, torch.tensor(7))]
    assert torch.equal(*same)


def test_items_of_fill_all():
    for items in ([("w", torch.ones(3))], [None], ["w"], [(["w"], torch.ones(3), init.normal())]):
        with pytest.raises(init.CannotFill):
            init.fill_all_(items)


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4).flatmap(
        lambda shape: st.tuples(st.just(shape), st.lists(st.integers(0, 9), min_size=len(shape), max_size=len(shape)))
    )
)
@settings(max_examples=300, deadline=None)
def test_a_view_is_refused_exactly_when_two_elements_share_an_address(case):
    shape, strides = case
    view = torch.zeros(200).as_strided(shape, strides)
    addresses = [sum(map(lambda i, s: i * s, place, strides)) for place in itertools.product(*map(range, shape))]
    if len(set(addresses)) < len(addresses):
        with pytest.raises(init.CannotFill, match="share memory"):
            check_fillable(view, init.normal(), name="w")
    else:
        filled = init.fill_(view, init.normal(), name="w")
        assert torch.equal(filled, init.fill_(torch.empty(shape), init.normal(), name="w"))


class Plain(torch.Tensor):
    pass


@pytest.mark.parametrize("law", [init.normal(), init.zeros(), init.orthogonal()], ids=str)
def test_subclasses_views_and_inference_tensors(law):
    expected = init.fill_(torch.empty(6, 6), law, name="w")
    plain = init.fill_(torch.empty(6, 6).as_subclass(Plain), law, name="w")
    assert torch.equal(plain.as_subclass(torch.Tensor), expected)
    with torch.inference_mode():
        inference = torch.empty(6, 6)
    assert torch.equal(init.fill_(inference, law, name="w"), expected)
    negated = torch.zeros(6, 6, dtype=torch.complex64).conj().imag
    assert negated.is_neg()
    assert torch.equal(init.fill_(negated, law, name="w"), expected)


def test_a_wrapper_without_memory_is_filled_through_its_own_copy():
    from torch.testing._internal.two_tensor import TwoTensor

    pair = TwoTensor(torch.zeros(5), torch.zeros(5))
    init.fill_(pair, init.normal(), name="w")
    assert torch.equal(pair.a, init.fill_(torch.empty(5), init.normal(), name="w"))
    assert torch.equal(pair.b, pair.a)


def test_blocks_inside_a_scaled_law_draw_from_their_own_streams():
    inner = init.blocks((init.normal(), init.orthogonal()))
    stored = {"law": "scaled", "of": inner.to_json(), "factor": -2.0}
    w = init.fill_(torch.empty(8, 3), law_from_json(stored), name="w")
    assert torch.equal(w, -2 * init.fill_(torch.empty(8, 3), inner, name="w"))
