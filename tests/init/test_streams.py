"""Keyed streams: element i is a pure function of (seed, name, i), in the same bits on every path."""

import os
import re
import subprocess
import sys
from hashlib import blake2b

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfcinv, erfinv

from gainstage import init
from gainstage.init import _cpu
from gainstage.init._reference import philox, random_words, reference
from gainstage.init._write import draw, runs, write_
from gainstage.init.streams import Stream

WORDS = Stream(5, "blocks.3.fc1.weight").words()
RECIPES = {
    "normal": init.normal(mean=0.1, std=0.02).recipe(),
    "uniform": init.uniform(-0.3, 0.6).recipe(),
    "truncated": init.truncated_normal(std=0.02).recipe(),
    "lopsided": init.trunc_normal(0.1, 1.3, -1.0, 1.4).recipe(),
    "upper tail": init.trunc_normal(0.0, 1.0, 3.0, 5.0).recipe(),
    "lower tail": init.trunc_normal(0.0, 1.0, -torch.inf, -4.0).recipe(),
}
LAWS = [init.normal(std=0.5), init.uniform(-1, 2), init.truncated_normal(std=3.0)]
ORTHOGONAL = [init.orthogonal(), init.mirrored()]


def test_philox_known_answers():
    """The three vectors that Random123 publishes for philox4x32, 10 rounds."""
    ones = 0xFFFFFFFF
    cases = [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ones,) * 4, (ones,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ]
    for counter, key, expected in cases:
        c0, c1 = torch.tensor([counter[0]]), torch.tensor([counter[1]])
        got = philox(c0, c1, counter[2], counter[3], *key)
        assert " ".join(f"{int(x):08x}" for x in got) == expected


def test_the_key_is_the_documented_hash():
    digest = blake2b("5:blöcke.0".encode(), digest_size=16).digest()
    assert Stream(5, "blöcke.0").words() == tuple(int.from_bytes(digest[i : i + 4], "little") for i in (0, 4, 8, 12))


def test_the_layout_is_the_documented_one():
    i = 1000  # group 15, place 40: word 2 of block 15 * 16 + 8
    block = torch.tensor([16 * (i // 64) + i % 16])
    four = philox(block, torch.zeros_like(block), WORDS[2], WORDS[3], WORDS[0], WORDS[1])
    assert int(four[(i % 64) // 16]) == int(random_words(WORDS, torch.tensor([i])))


@pytest.mark.parametrize("name", RECIPES)
def test_numba_is_the_reference_bit_for_bit(name):
    n, base = 1 << 18, 2**36 - 1000  # across the place where the counter's second word begins to count
    out = np.empty(n, np.float32)
    _cpu.fill_runs(out, RECIPES[name], WORDS, base=base)
    expected = reference(RECIPES[name], WORDS, torch.arange(n) + base)
    assert torch.equal(torch.from_numpy(out), expected)


def special_words() -> np.ndarray:
    """Every 32-bit word at which the arithmetic changes its course, and 300,000 others."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([np.arange(50_000), 2**31 - 1 - np.arange(50_000), 2 ** np.arange(31), [2**31 - 2**24]])
    words = np.concatenate([edges, 2**31 + edges, rng.integers(0, 2**32, 300_000)])
    return np.unique(words % 2**32).astype(np.uint32)


@pytest.mark.parametrize("name", RECIPES)
def test_the_extremes_are_the_reference_bit_for_bit(name):
    from gainstage.init import _reference

    words, recipe = special_words(), RECIPES[name]
    out, number = np.empty(words.size, np.float32), np.array(recipe.numbers, np.float32)
    kernel, spec = (
        (_cpu._uniform, _reference._uniform) if recipe.kind == "uniform" else (_cpu._normal, _reference._normal)
    )
    kernel(words, out, number)
    expected = spec(torch.from_numpy(words.astype(np.int64)), *torch.from_numpy(number))
    assert torch.equal(torch.from_numpy(out), expected)


def test_the_normal_is_accurate_into_the_tails():
    """Against the inverse normal distribution in double precision, at every special word: 7e-7, relative."""
    words = special_words()
    out = np.empty(words.size, np.float32)
    _cpu._normal(words, out, np.array(init.normal().recipe().numbers, np.float32))
    size = (words & 0x7FFFFFFF).astype(np.float64)
    centre, rest = (size + 0.5) * 2.0**-31, (2**31 - size - 0.5) * 2.0**-31
    exact = np.sqrt(2) * np.where(centre < 0.5, erfinv(centre), erfcinv(rest)) * np.where(words >> 31, -1, 1)
    assert np.abs(out / exact - 1).max() < 7e-7
    assert np.abs(out).max() > 6.3


def test_no_fused_multiply_add_in_the_machine_code(tmp_path):
    code = (
        "from gainstage.init import _cpu, _double_cpu, _haar_cpu, _haar_double_cpu, _halves_cpu\n"
        "for m in (_cpu, _double_cpu, _haar_cpu, _haar_double_cpu, _halves_cpu):\n"
        "    for f in vars(m).values():\n"
        "        if hasattr(f, 'inspect_asm'): print(*f.inspect_asm().values())"
    )
    fresh = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}  # numba shows no code that it read from its cache
    shown = subprocess.run([sys.executable, "-c", code], env=fresh, capture_output=True, text=True, check=True).stdout
    assert "mul" in shown
    assert not re.search(r"fn?m(add|sub)|fml[as]", shown)


def test_any_number_of_threads():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append([draw(r, Stream(1, "w"), (1001, 997)) for r in RECIPES.values()])
            for law in ORTHOGONAL:
                results[-1].append(init.fill_(torch.empty(300, 260), law, seed=1, name="q"))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@st.composite
def boxes(draw_):
    shape = draw_(st.lists(st.integers(1, 23), min_size=1, max_size=4))
    offset = [draw_(st.integers(0, n - 1)) for n in shape]
    box = [draw_(st.integers(1, n - o)) for n, o in zip(shape, offset, strict=True)]
    return shape, offset, box


@given(boxes(), st.sampled_from(sorted(RECIPES)), st.booleans())
@settings(max_examples=60, deadline=None)
def test_a_slice_alone_is_the_slice_of_the_whole(case, name, strided):
    shape, offset, box = case
    part = tuple(slice(o, o + n) for o, n in zip(offset, box, strict=True))
    alone = torch.empty(box[::-1]).permute(*reversed(range(len(box)))) if strided else torch.empty(box)
    write_(alone, RECIPES[name], Stream(0, "w"), shape, offset)
    assert torch.equal(alone, draw(RECIPES[name], Stream(0, "w"), shape)[part])


@given(boxes())
@settings(max_examples=50, deadline=None)
def test_runs_list_the_elements_of_a_box_in_order(case):
    shape, offset, box = case
    part = tuple(slice(o, o + n) for o, n in zip(offset, box, strict=True))
    whole = torch.arange(int(np.prod(shape))).view(shape)[part].flatten().tolist()
    listed = [
        base + r * stride + i
        for base, stride, length, count in runs(shape, offset, box)
        for r in range(count)
        for i in range(length)
    ]
    assert listed == whole


@pytest.mark.parametrize("law", LAWS + ORTHOGONAL, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_other_types_are_the_float32_number_rounded(law, dtype):
    exact = init.fill_(torch.empty(70, 94), law, name="w")
    assert torch.equal(init.fill_(torch.empty(70, 94, dtype=dtype), law, name="w"), exact.to(dtype))


def test_pieces_of_a_large_half_precision_tensor():
    n = (1 << 21) + 77  # more than one buffer
    exact = init.fill_(torch.empty(n), init.normal(), name="w")
    assert torch.equal(init.fill_(torch.empty(n, dtype=torch.bfloat16), init.normal(), name="w"), exact.bfloat16())


@pytest.mark.parametrize("law", [*LAWS, init.delta_orthogonal()], ids=str)
def test_memory_layout_does_not_matter(law):
    plain = init.fill_(torch.empty(8, 6, 5, 3), law, name="w")
    last = init.fill_(torch.empty(8, 6, 5, 3).to(memory_format=torch.channels_last), law, name="w")
    turned = init.fill_(torch.empty(3, 5, 6, 8).permute(3, 2, 1, 0), law, name="w")
    padded = init.fill_(torch.empty(8, 6, 5, 9)[..., ::3], law, name="w")
    assert torch.equal(plain, last)
    assert torch.equal(plain, turned)
    assert torch.equal(plain, padded)


def test_large_strided_tensors_go_through_a_bounded_buffer():
    law = init.normal()
    turned = init.fill_(torch.empty(1500, 2000).t(), law, name="w")
    assert torch.equal(turned, init.fill_(torch.empty(2000, 1500), law, name="w"))


def test_what_else_is_drawn_does_not_matter():
    first = init.fill_(torch.empty(100), init.normal(), seed=3, name="a")
    torch.manual_seed(1)
    state = torch.get_rng_state()
    init.fill_(torch.empty(999), init.uniform(), seed=3, name="b")
    again = init.fill_(torch.empty(100), init.normal(), seed=3, name="a")
    assert torch.equal(first, again)
    assert torch.equal(state, torch.get_rng_state())


def test_a_longer_parameter_begins_with_the_shorter():
    short, long = (init.fill_(torch.empty(n), init.normal(), name="w") for n in (1000, 5000))
    assert torch.equal(short, long[:1000])


def test_names_and_seeds_are_independent():
    """Correlations over 300,000 elements: beyond 6 sigma with probability 2e-9 each."""
    n = 300_000
    keys = [(0, "a"), (1, "a"), (0, "b"), (0, "a[0]"), (0, "a[1]"), (-1, "a"), (2**70, "a"), (0, "")]
    drawn = torch.stack([init.fill_(torch.empty(n), init.normal(), seed=s, name=k) for s, k in keys]).double()
    correlation = torch.corrcoef(drawn).fill_diagonal_(0)
    assert correlation.abs().max() < 6 / n**0.5
    shifted = [(drawn[0, :-lag] * drawn[0, lag:]).mean().abs() for lag in (1, 2, 4, 16, 48, 64, 4096)]
    assert max(shifted) < 6 / (n - 4096) ** 0.5


def test_moments_and_distribution():
    """1e6 draws: each moment within 6 standard errors (failure 2e-9 each), Kolmogorov distance 2.7/sqrt(n) (9e-7)."""
    n = 1_000_000
    x = init.fill_(torch.empty(n), init.normal(), seed=11, name="moments").double()
    for power, mean, spread in ((1, 0, 1), (2, 1, 2**0.5), (3, 0, 15**0.5), (4, 3, 96**0.5)):
        assert abs(float((x**power).mean()) - mean) < 6 * spread / n**0.5
    rank = (torch.arange(n) + 0.5) / n
    assert float((torch.special.ndtr(x.sort().values) - rank).abs().max()) < 2.7 / n**0.5
    u = init.fill_(torch.empty(n), init.uniform(), seed=11, name="moments").double()
    assert float((u.sort().values - rank).abs().max()) < 2.7 / n**0.5
    assert u.min() >= 0
    assert u.max() < 1
    assert torch.equal(u * 2**24, (u * 2**24).round())


@pytest.mark.parametrize("law", [*LAWS, init.orthogonal(), init.blocks((init.zeros(), init.he_normal()))], ids=str)
def test_sample_gives_the_same_numbers_to_numpy(law):
    for dtype in ("float32", np.float64, np.float16):
        array = init.sample(law, (12, 8), seed=4, name="w", dtype=dtype)
        assert isinstance(array, np.ndarray)
        assert array.dtype == np.dtype(dtype)
        tensor = init.fill_(torch.empty(12, 8, dtype=torch.from_numpy(array).dtype), law, seed=4, name="w")
        assert np.array_equal(array, tensor.numpy())


def test_parameters_autograd_and_inference():
    p = torch.nn.Parameter(torch.zeros(5, 5))
    version = p._version
    assert init.fill_(p, init.normal(), name="w") is p
    assert p.requires_grad
    assert p.grad_fn is None
    assert p._version > version
    with torch.inference_mode():
        assert init.fill_(torch.empty(5), init.normal(), name="w").isfinite().all()


def test_meta_tensors_are_checked_and_left():
    w = torch.empty(4, 4, device="meta")
    assert init.fill_(w, init.orthogonal(), name="w") is w
    with pytest.raises(init.CannotFill):
        init.fill_(torch.empty(4, device="meta"), init.orthogonal(), name="w")


def test_importing_the_room_does_not_import_numba():
    code = "import sys, gainstage.init; assert 'numba' not in sys.modules; assert 'triton' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("law", [*LAWS, *ORTHOGONAL, init.zero(), init.sparse(), init.mimetic("q", pair="a")], ids=str)
def test_default_device_and_dtype_do_not_matter(law):
    expected = init.fill_(torch.empty(36, 36), law, name="w")
    strided, half = torch.empty(36, 36).t(), torch.empty(36, 36, dtype=torch.float16)
    with torch.device("meta"):
        assert torch.equal(init.fill_(strided, law, name="w"), expected)
        assert torch.equal(init.fill_(half, law, name="w"), expected.half())
        assert init.gain(torch.atan) > 1
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(init.fill_(torch.empty(36, 36, dtype=torch.float32), law, name="w"), expected)
        assert np.array_equal(init.sample(law, (36, 36), name="w"), expected.numpy())
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_wrapper_in_front_of_a_name_changes_no_number() -> None:
    plain = init.fill_(torch.empty(8, 4), init.he_normal(), seed=1, name="blocks.0.fc.weight")
    for name in (
        "module.blocks.0.fc.weight",
        "_orig_mod.blocks.0.fc.weight",
        "blocks.0._checkpoint_wrapped_module.fc.weight",
        "module._orig_mod._fsdp_wrapped_module.blocks.0.fc.weight",
    ):
        assert torch.equal(init.fill_(torch.empty(8, 4), init.he_normal(), seed=1, name=name), plain)
    inner = init.fill_(torch.empty(8, 4), init.he_normal(), seed=1, name="blocks.module.0.fc.weight")
    assert not torch.equal(inner, plain)  # inside a name it is the user's own
