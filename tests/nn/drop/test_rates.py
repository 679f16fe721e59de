"""The delivered rate is the asked one, of every layer and at every rate.

Counts of independent draws are compared with the binomial distribution at 1e-12 on either side: with at most 20,000
comparisons in this file, a correct layer fails with probability below 1e-7. Seeds are drawn by hypothesis, which is
made deterministic here.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from odds import plausible
from torch import nn

from gainstage.nn.drop import (
    DropConnect,
    EmbeddingDropout,
    alpha_dropout,
    drop_block,
    drop_path,
    dropout,
    locked_dropout,
    seed_rate,
    spatial_dropout,
)
from gainstage.nn.drop._block import _cover

rates = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-4, 1e-3, 0.999, 1.0]))
seeds = st.integers(0, 2**32)
few = settings(max_examples=30, deadline=None, derandomize=True)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@few
@given(rates, seeds, st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64]))
def test_dropout_drops_entries_at_the_asked_rate_in_every_dtype(p: float, seed: int, dtype: torch.dtype) -> None:
    y = dropout(torch.ones(100, 100, dtype=dtype), p, generator=seeded(seed))
    assert y.dtype == dtype
    assert plausible(int((y == 0).sum()), 10_000, p)
    kept = y[y != 0]
    assert torch.equal(kept, torch.ones_like(kept) * (1 / (1 - p) if p < 1 else 0))


@few
@given(rates, seeds, st.integers(1, 3))
def test_spatial_dropout_drops_whole_channels_at_the_asked_rate(p: float, seed: int, dims: int) -> None:
    y = spatial_dropout(torch.ones(50, 40, *[3] * dims), p, dims=dims, generator=seeded(seed))
    dropped = (y == 0).flatten(2)
    assert torch.equal(dropped.all(-1), dropped.any(-1))
    assert plausible(int(dropped.all(-1).sum()), 2000, p)


@few
@given(rates, seeds, st.sampled_from(["row", "batch"]))
def test_drop_path_drops_samples_or_the_batch_at_the_asked_rate(p: float, seed: int, mode: str) -> None:
    generator = seeded(seed)
    ys = torch.stack([drop_path(torch.ones(5, 2), p, mode, generator=generator) for _ in range(200)])
    dropped = (ys == 0).all(-1)
    assert torch.equal(dropped, (ys == 0).any(-1))
    if mode == "batch":
        assert torch.equal(dropped.all(-1), dropped.any(-1))
        dropped = dropped[:, :1]
    assert plausible(int(dropped.sum()), dropped.numel(), p)


@few
@given(rates, seeds, st.booleans())
def test_locked_dropout_drops_features_for_all_times_at_the_asked_rate(p: float, seed: int, first: bool) -> None:
    y = locked_dropout(torch.ones(40, 50, 60), p, batch_first=first, generator=seeded(seed))
    dropped = (y == 0).transpose(0, int(first))  # time first
    assert torch.equal(dropped.all(0), dropped.any(0))
    assert plausible(int(dropped[0].sum()), dropped[0].numel(), p)


@few
@given(rates, seeds)
def test_embedding_dropout_drops_words_at_the_asked_rate(p: float, seed: int) -> None:
    words = EmbeddingDropout(nn.Embedding(2000, 2), p, generator=seeded(seed))
    nn.init.ones_(words.embedding.weight)
    y = words(torch.arange(2000).expand(3, -1))
    dropped = (y == 0).all(-1)
    assert torch.equal(dropped.all(0), dropped.any(0))
    assert plausible(int(dropped[0].sum()), 2000, p)


@few
@given(rates, seeds, st.booleans())
def test_drop_connect_drops_weights_and_biases_at_the_asked_rate(p: float, seed: int, per_sample: bool) -> None:
    layer = DropConnect(nn.Linear(60, 60), p, per_sample=per_sample, generator=seeded(seed))
    nn.init.ones_(layer.layer.weight)
    nn.init.zeros_(layer.layer.bias)
    x = torch.eye(60)
    columns = layer(x)  # with one mask for all, this is the masked weight
    assert plausible(int((columns == 0).sum()), 3600, p)
    nn.init.ones_(layer.layer.bias)
    biases = layer(torch.zeros(60, 60))
    rows = biases if per_sample else biases[:1]
    assert plausible(int((rows == 0).sum()), rows.numel(), p)
    assert per_sample or bool((biases == biases[:1]).all())


@few
@given(st.floats(0, 0.99), seeds)
def test_alpha_dropout_keeps_mean_and_variance(p: float, seed: int) -> None:
    x = torch.randn(200_000, generator=seeded(seed), dtype=torch.float64)
    y = alpha_dropout(x, p, generator=seeded(seed + 1))
    fourth = float(y.square().mean() ** 2 + (y.square()).var()) if p else 3.0  # E[y^4]
    # 7.5 standard errors of a mean of 200,000 independent terms: below 1e-12 if normal
    assert abs(float(y.mean())) < 7.5 * math.sqrt(1 / 200_000)
    assert abs(float(y.square().mean()) - 1) < 7.5 * math.sqrt(max(fourth, 3) / 200_000)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 0.95))
def test_alpha_dropout_has_the_moments_of_its_input_exactly(p: float) -> None:
    y = alpha_dropout(torch.tensor([0.0, 1.0], dtype=torch.float64).repeat(1000), p, generator=seeded(0))
    low, zero, one = y.unique().tolist()  # what dropped entries, 0 and 1 become
    scale = one - zero
    assert p * low + (1 - p) * zero == pytest.approx(0, abs=1e-12)
    assert p * low**2 + (1 - p) * (scale**2 + zero**2) == pytest.approx(1, rel=1e-12)


# ------------------------------------------------------------------------------------------------------- DropBlock

maps = st.integers(1, 3).flatmap(
    lambda dims: st.tuples(
        st.tuples(*[st.integers(1, 7)] * dims),
        st.tuples(*[st.integers(1, 9)] * dims),
    )
)


@settings(max_examples=60, deadline=None)
@given(maps, st.floats(1e-6, 0.999))
def test_every_position_of_every_map_lies_under_equally_many_blocks(sizes, p: float) -> None:
    """The rate of a position is 1 - (1 - gamma)^coverage; with the coverage counted, this is no statistics."""
    shape, blocks = sizes
    starts = [length + block - 1 for length, block in zip(shape, blocks, strict=True)]
    one_seed_each = torch.eye(math.prod(starts)).reshape(-1, 1, *starts)[:4000]
    coverage = _cover(one_seed_each, blocks).sum(0)[0]
    assert coverage.shape == shape
    if math.prod(starts) <= 4000:
        assert (coverage == math.prod(blocks)).all()
    delivered = 1 - (1 - seed_rate(p, blocks)) ** math.prod(blocks)
    assert delivered == pytest.approx(p, rel=1e-6)


@few
@given(maps, rates, seeds)
def test_drop_block_delivers_the_asked_rate_at_every_position(sizes, p: float, seed: int) -> None:
    shape, blocks = sizes
    y = drop_block(torch.ones(40, 100, *shape), p, blocks, dims=len(shape), generator=seeded(seed))
    dropped = (y == 0).sum((0, 1)).flatten()
    low, high = int(dropped.min()), int(dropped.max())  # over at most 343 positions
    assert plausible(low, 4000, p, failure=1e-14)
    assert plausible(high, 4000, p, failure=1e-14)


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("block", [1, 3, 7, 14, 20])
def test_drop_block_within_a_hundredth_on_a_14x14_map(p: float, block: int) -> None:
    at = torch.zeros(14, 14)
    generator = seeded(block)
    for _ in range(20):
        at += (drop_block(torch.ones(10, 100, 14, 14), p, block, generator=generator) == 0).sum((0, 1))
    if block <= 7:  # the share of a map has standard deviation below 0.2: 0.01 is 7 standard errors, < 1e-11
        assert abs(float(at.mean()) / 20_000 - p) < 0.01
    assert plausible(int(at[0, 0]), 20_000, p)  # a corner
    assert plausible(int(at[7, 7]), 20_000, p)  # the centre


def test_blocks_are_whole_and_channels_independent() -> None:
    zero = drop_block(torch.ones(200, 2, 30), 0.3, 5, dims=1, generator=seeded(0)) == 0
    rows = ["".join("x" if entry else " " for entry in row).strip("x") for row in zero[:, 0].tolist()]
    inside = [len(run) for row in rows for run in row.split()]  # those at the border are cut off
    assert len(inside) > 100
    assert min(inside) == 5
    same = (zero[:, 0] == zero[:, 1]).float().mean()
    assert 0.4 < float(same) < 0.76  # 0.58 if independent, 1 if not; 8 standard errors of about 600 blocks
