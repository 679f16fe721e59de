"""float64: 53 bits, the exact quantiles, orthogonal to 1e-14, and near to float32."""

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from gainstage import init
from gainstage.init._double_cpu import _log, _normal
from gainstage.init._reference import random_words
from gainstage.init.streams import Stream

DOUBLE = torch.float64
POINTWISE = [
    init.normal(0.2, 0.5),
    init.uniform(-1, 2),
    init.truncated_normal(std=3.0),
    init.trunc_normal(std=1, a=3, b=5),
]
MATRICES = [
    init.orthogonal(),
    init.orthogonal(scale="fan_in", heads=2),
    init.delta_orthogonal(groups=2),
    init.mirrored(),
    init.zero(),
    init.identity(0.1),
    init.blocks((init.orthogonal(), init.normal())),
    init.padded(init.normal(), 1),
    init.sparse(0.5),
    init.orthogonal().scaled(-0.3),
]


def both(law, *shape):
    return tuple(
        init.fill_(torch.empty(shape, dtype=dtype), law, seed=4, name="w") for dtype in (DOUBLE, torch.float32)
    )


@pytest.mark.parametrize("law", [*POINTWISE, *MATRICES], ids=str)
def test_it_is_the_float32_number_refined(law):
    wide, narrow = both(law, 48, 48, 3) if "delta" in str(law) else both(law, 48, 48)
    torch.testing.assert_close(wide, narrow.double(), rtol=3e-6, atol=3e-6)
    drawn = wide[(wide != 0) & (wide.abs() != 0.1)]
    if str(law) not in ("zero", "identity(gain=0.1)"):
        assert not torch.equal(drawn, drawn.float().double())


def test_constants_are_not_rounded_to_float32():
    assert both(init.identity(0.1), 4, 4)[0][0, 0].item() == 0.1
    assert both(init.constant(0.1), 4)[0][0].item() == 0.1
    assert both(init.zero(), 4, 2)[0].abs().max().item() == 2**-0.5


def test_a_uniform_number_has_53_bits_of_which_the_first_24_are_those_of_float32():
    wide, narrow = both(init.uniform(), 100_000)
    steps = wide * 2**53
    assert torch.equal(steps, steps.round())
    assert ((steps % 2) == 1).double().mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal((wide * 2**24).floor(), narrow.double() * 2**24)


def test_the_normal_is_the_quantile_of_its_words():
    wide, _ = both(init.normal(), 50_000)
    index = torch.arange(50_000)
    word, low = (random_words(s.words(), index).numpy() for s in (Stream(4, "w"), Stream(4, "w[low]")))
    magnitude = (word & 0x7FFFFFFF).astype(np.longdouble) * 2**32 + low.astype(np.longdouble)
    above = ((2.0**64 - 2 * magnitude - 1) / np.longdouble(2.0) ** 65).astype(np.float64)  # (1 - v) / 2
    expected = -ndtri(above) * np.where(word >> 31, -1, 1)
    np.testing.assert_allclose(wide.numpy(), expected, rtol=2e-15, atol=2e-15)


@pytest.mark.parametrize("magnitude", [0x7FFFFFFF, 0x7FFFFFFE, 0x7FFF0000, 0x7F000000, 0x6CCCCCCC, 1])
def test_the_tails_are_as_exact_as_the_middle(magnitude):
    numbers = np.array(init.normal().recipe().numbers)
    for low in (0, 12345, 0xFFFFFFFF):
        rest = ((0x7FFFFFFF - magnitude) * 2**32 + (0xFFFFFFFF - low) + 0.5) / 2.0**64
        for sign in (0, 1):
            z = _normal(np.uint32(magnitude | sign << 31), np.uint32(low), numbers)
            assert z == pytest.approx(-ndtri(rest) * (-1 if sign else 1), rel=2e-15, abs=2e-15)
    assert magnitude < 0x7FFFFFFF or abs(z) > 9


def test_the_logarithm_is_right_to_its_last_digits():
    x = np.concatenate([np.random.default_rng(0).uniform(0, 1, 2000), 2.0 ** -np.arange(1.0, 70.0)])
    np.testing.assert_allclose([_log(value) for value in x], np.log(x), rtol=3e-16)


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (1, 7), (64, 64), (33, 200), (500, 130), (700, 700)])
def test_orthogonal_to_1e_14(shape):
    wide, narrow = both(init.orthogonal(), *shape)
    square = wide.T @ wide if shape[0] >= shape[1] else wide @ wide.T
    assert (square - torch.eye(min(shape), dtype=DOUBLE)).abs().max() < 1e-14
    assert (wide - narrow).abs().max() < 2e-6


def test_any_number_of_threads_and_any_layout():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append([both(law, 700, 500)[0] for law in (*POINTWISE, init.orthogonal())])
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))
    for law, expected in zip(POINTWISE, results[0], strict=False):
        strided = torch.empty(500, 700, dtype=DOUBLE).t()
        assert torch.equal(init.fill_(strided, law, seed=4, name="w"), expected)


def test_numpy_gets_the_numbers_of_float64():
    array = init.sample(init.normal(), (30, 4), seed=4, name="w", dtype="float64")
    assert np.array_equal(array, both(init.normal(), 30, 4)[0].numpy())
