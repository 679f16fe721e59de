"""Moments equal their definitions, at any scale, layout and precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage.signal import Moments, measure
from gainstage.signal._moments import _fused_sums, _sums, sample_axis


def moments(x: torch.Tensor, **options) -> Moments:
    return Moments.from_row(measure(x, **options).tolist())


@settings(deadline=None, max_examples=60)
@given(
    samples=st.integers(2, 9),
    features=st.integers(1, 5000),
    scale=st.sampled_from([1.0, 1e-3, 1e4, 1e-12, 1e-25, 1e18, 1e30]),
    offset=st.sampled_from([0.0, 1.0, -30.0]),
    seed=st.integers(0, 2**31),
)
def test_definitions_hold_at_any_scale(samples: int, features: int, scale: float, offset: float, seed: int) -> None:
    x = torch.randn(samples, features, generator=torch.Generator().manual_seed(seed))
    x = (x + offset) * scale
    x[torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)) < 0.1] = 0
    exact = x.double()
    found = moments(x, batch=samples)
    tolerance = 1e-4 * float(exact.abs().mean())
    assert found.count == x.numel()
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-3, abs=tolerance)
    assert found.mean_square == pytest.approx(float(exact.square().mean()), rel=1e-3)
    assert found.variance_between == pytest.approx(float(exact.var(0, correction=0).mean()), rel=2e-3)
    assert found.zeros == pytest.approx(float((x == 0).double().mean()), abs=1e-6)
    assert (found.minimum, found.maximum) == (float(x.min()), float(x.max()))
    assert found.nonfinite == 0


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(1, 6), features=st.integers(1, 4100), seed=st.integers(0, 2**31))
def test_the_fused_kernel_equals_the_specification(samples: int, features: int, seed: int) -> None:
    x = torch.randn(samples, features, generator=torch.Generator().manual_seed(seed))
    fused = torch.tensor(_fused_sums(x), dtype=torch.float64)
    assert torch.allclose(fused, _sums(x), rtol=2e-4, atol=1e-3 * features**0.5)


def test_variance_between_samples_survives_cancellation() -> None:
    x = 1.0 + 1e-6 * torch.randn(16, 5000, generator=torch.Generator().manual_seed(0))
    exact = float(x.double().var(0, correction=0).mean())
    assert moments(x, batch=16).variance_between == pytest.approx(exact, rel=1e-2)
    assert moments(torch.ones(16, 50), batch=16).variance_between == 0.0


def test_nonfinite_entries_are_counted() -> None:
    x = torch.ones(4, 10)
    x[0, 0], x[1, 1], x[2, 2] = float("nan"), float("inf"), -float("inf")
    assert moments(x, batch=4).nonfinite == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64])
def test_other_types(dtype: torch.dtype) -> None:
    x = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = moments(x, batch=8)
    real = torch.view_as_real(x) if x.is_complex() else x
    assert found.mean_square == pytest.approx(float(real.double().square().mean()), rel=1e-3)


def test_layout_does_not_matter() -> None:
    x = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    plain = moments(x, batch=4)
    for other in (x.to(memory_format=torch.channels_last), x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)):
        found = moments(other, batch=4)
        for name in ("mean", "mean_square", "variance_between", "zeros", "minimum"):
            assert getattr(found, name) == pytest.approx(getattr(plain, name), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((8, 3), 0), ((5, 8, 3), 1), ((8, 8, 3), 0), ((24, 3), 0), ((5, 3), None), ((), None)],
)
def test_the_sample_axis(shape: tuple[int, ...], axis: int | None) -> None:
    assert sample_axis(shape, 8) == axis
    assert sample_axis(shape, 1) is None


def test_dead_units_and_saturation() -> None:
    x = torch.rand(8, 10) + 0.1
    x[:, :3] = 0
    found = moments(x, batch=8, op="relu", unit_axis=1)
    assert (found.dead, found.units) == (pytest.approx(0.3), 10)
    y = torch.tensor([[0.995, -0.999, 0.5, 0.0]])
    assert moments(y, op="tanh").saturated == pytest.approx(0.5)


def test_empty_tensors_are_no_error() -> None:
    assert moments(torch.empty(0, 4), batch=2).count == 0
