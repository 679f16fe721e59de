"""BatchNorm and its relatives: state over several batches, against torch and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gainstage.nn import LayerError
from gainstage.nn.norm import (
    AccumulatedBatchNorm,
    BatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    BatchRenorm,
    EvoNormB0,
    GhostBatchNorm,
    SwitchableNorm,
    batch_norm,
)

TORCH = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POSITIONS = {0: (), 1: (5,), 2: (3, 2), 3: (2, 2, 3)}


def batches(count: int, positions: tuple[int, ...], seed: int, channels: int = 3) -> list[Tensor]:
    """Of unequal sizes, with other means and scales."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (1 + k) * torch.randn(2 + (seed + k) % 4, channels, *positions, generator=generator) + 3 * k
        for k in range(count)
    ]


@settings(max_examples=40, deadline=None)
@given(
    axes=st.integers(0, 3),
    momentum=st.sampled_from([0.0, 0.1, 0.7, 1.0, None]),
    affine=st.booleans(),
    track=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_layer_and_formula_are_torchs_over_several_batches(axes, momentum, affine, track, seed) -> None:
    theirs = TORCH[axes](3, momentum=momentum, affine=affine, track_running_stats=track)
    ours = BatchNorm(3, momentum=momentum, affine=affine, track_running_stats=track)
    if affine:
        nn.init.normal_(theirs.weight)
        nn.init.normal_(theirs.bias)
    ours.load_state_dict(theirs.state_dict())
    mean, var = (torch.zeros(3), torch.ones(3)) if track else (None, None)
    for k, x in enumerate(batches(4, POSITIONS[axes], seed)):
        expected = theirs(x)
        step = 1 / (k + 1) if momentum is None else momentum
        written = batch_norm(x, mean, var, ours.weight, ours.bias, True, step, 1e-5)
        torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(written, expected, rtol=1e-5, atol=1e-5)
    for name, buffer in theirs.named_buffers():
        torch.testing.assert_close(ours.get_buffer(name), buffer, rtol=1e-5, atol=1e-6)
    if track:
        torch.testing.assert_close(mean, theirs.running_mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(var, theirs.running_var, rtol=1e-5, atol=1e-6)
    x = batches(1, POSITIONS[axes], seed)[0]
    written = batch_norm(x, mean, var, ours.weight, ours.bias)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(written, theirs(x), rtol=1e-5, atol=1e-5)


def test_the_running_variance_is_unbiased() -> None:
    layer = BatchNorm(1, momentum=1.0)
    layer(torch.tensor([[0.0], [1.0], [5.0]]))
    assert layer.running_var.item() == pytest.approx(7.0)  # squares 4 + 1 + 9 around 2, over 3 - 1
    assert layer.running_mean.item() == pytest.approx(2.0)


def test_a_cumulative_average_weighs_every_batch_alike() -> None:
    layer = BatchNorm(1, momentum=None)
    for value in (1.0, 2.0, 6.0):
        layer(torch.tensor([[value - 1], [value + 1]]))
    assert layer.running_mean.item() == pytest.approx(3.0)
    assert layer.running_var.item() == pytest.approx(2.0)
    assert layer.num_batches_tracked == 3


@pytest.mark.parametrize("make", [BatchNorm, BatchRenorm, AccumulatedBatchNorm, EvoNormB0, SwitchableNorm])
def test_state_of_a_batch_norm_loads_as_far_as_it_goes(make) -> None:
    """Running statistics have torch's names and meaning everywhere."""
    source, (x,) = nn.BatchNorm2d(3), batches(1, (4, 4), 0)
    source(x)
    layer = make(3, 1) if make is AccumulatedBatchNorm else make(3)
    layer.momentum = 0.1
    layer(x)
    for name in {"running_mean", "running_var"} & dict(layer.named_buffers()).keys():
        torch.testing.assert_close(layer.get_buffer(name), source.get_buffer(name))


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (BatchNorm(3), (1, 3), "at least 2 values a channel"),
        (BatchNorm(3), (4, 2), r"expected \[N, 3, \.\.\.\]"),
        (BatchNorm(3), (3,), r"expected \[N, 3, \.\.\.\]"),
        (BatchNorm1d(3), (4, 3, 2, 2), "BatchNorm takes any number of axes"),
        (BatchNorm2d(3), (4, 3, 2), "expected 4 axes"),
        (BatchRenorm(3), (1, 3), "at least 2 values"),
        (AccumulatedBatchNorm(3, 2), (1, 3), "at least 2 values"),
        (GhostBatchNorm(3, 2), (3, 3), "at least 2 values"),  # parts of 2 and 1
        (EvoNormB0(3), (4, 3), r"expected \[N, 3, H, \.\.\.\]"),
        (SwitchableNorm(3), (4, 3, 1), "at least 2 values"),
    ],
)
def test_undefined_statistics_are_refused_and_nothing_is_counted(layer, shape, says) -> None:
    before = {name: buffer.clone() for name, buffer in layer.named_buffers()}
    with pytest.raises(LayerError, match=says):
        layer(torch.randn(shape))
    if not isinstance(layer, GhostBatchNorm):
        assert all(torch.equal(buffer, before[name]) for name, buffer in layer.named_buffers())


def test_one_sample_is_enough_in_evaluation_or_with_positions() -> None:
    assert BatchNorm(3).eval()(torch.randn(1, 3)).shape == (1, 3)
    assert BatchNorm(3)(torch.randn(1, 3, 2)).shape == (1, 3, 2)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(2, 17), virtual=st.integers(2, 20), seed=st.integers(0, 10**6))
def test_ghost_batches_are_batches_one_after_another(size: int, virtual: int, seed: int) -> None:
    x = torch.randn(size, 3, 4, generator=torch.Generator().manual_seed(seed))
    ghost, plain = GhostBatchNorm(3, virtual), BatchNorm(3)
    output = ghost(x)
    parts = x.tensor_split(math.ceil(size / virtual))
    assert all(len(part) <= virtual for part in parts)
    assert torch.equal(output, torch.cat([plain(part) for part in parts]))
    for name, buffer in plain.named_buffers():
        assert torch.equal(buffer, ghost.get_buffer(name))


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(2, 6), min_size=1, max_size=5), seed=st.integers(0, 10**6))
def test_accumulated_running_statistics_are_those_of_the_large_batch(sizes: list[int], seed: int) -> None:
    """At mean 1000 and standard deviation 0.01 too: merging does not cancel."""
    generator = torch.Generator().manual_seed(seed)
    parts = [1000 + 0.01 * torch.randn(size, 3, generator=generator, dtype=torch.float64) for size in sizes]
    layer, large = AccumulatedBatchNorm(3, len(sizes)).double(), BatchNorm(3).double()
    for _ in range(2):
        outputs = [layer(part) for part in parts]
        whole = large(torch.cat(parts))
    assert layer.num_batches_tracked == large.num_batches_tracked == 2
    torch.testing.assert_close(layer.running_mean, large.running_mean, rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(layer.running_var, large.running_var, rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(outputs[-1], whole[-sizes[-1] :], rtol=1e-6, atol=1e-6)  # the last has seen all


def test_a_window_that_is_not_full_leaves_the_running_statistics() -> None:
    layer = AccumulatedBatchNorm(2, 3)
    layer(torch.randn(4, 2))
    assert layer.running_mean.eq(0).all()
    assert layer.num_batches_tracked == 0
    assert layer.window_count == 4
    layer.reset_running_stats()
    assert layer.window_count == 0
    assert layer.window_mean.eq(0).all()


def test_renorm_trains_as_it_evaluates_where_nothing_is_clipped() -> None:
    layer = BatchRenorm(3, r_max=1e6, d_max=1e6, warmup=-1, r_steps=0, d_steps=0).double()
    layer.running_mean += 0.7
    layer.running_var += 2.0
    x = torch.randn(5, 3, 4, dtype=torch.float64)
    expected = layer.eval()(x)
    torch.testing.assert_close(layer.train()(x), expected, rtol=1e-9, atol=1e-9)


def test_renorm_is_batch_normalization_during_the_warm_up() -> None:
    layer, x = BatchRenorm(3, eps=1e-5, warmup=2), torch.randn(5, 3, 4)
    for _ in range(3):  # batches 0, 1, 2: at the end of the warm-up the limits begin to rise
        torch.testing.assert_close(layer(x), BatchNorm(3)(x))


def test_renorm_limits_rise_linearly_and_stay() -> None:
    layer = BatchRenorm(1, r_max=3.0, d_max=5.0, warmup=10, r_steps=30, d_steps=20)
    found = []
    for seen in (0, 10, 15, 20, 30, 1000):
        layer.num_batches_tracked.fill_(seen)
        found.append(tuple(round(limit.item(), 6) for limit in layer.limits()))
    assert found == [(1, 0), (1, 0), (1.5, 2.5), (2, 5), (3, 5), (3, 5)]


@pytest.mark.parametrize("wrong", [{"r_max": 0.5}, {"d_max": -0.1}, {"r_max": float("nan")}, {"momentum": 1.5}])
def test_renormalization_refuses_limits_that_cannot_be(wrong: dict) -> None:
    with pytest.raises(LayerError, match=f"{next(iter(wrong))} is"):
        BatchRenorm(3, **wrong)
    BatchRenorm(3, r_max=1.0, d_max=0.0, momentum=1.0)
