"""Normalization by name, and what a layer holds."""

import copy

import pytest
import torch
from torch import nn

from gainstage.nn import LayerError, norm, parameter_count
from gainstage.nn.norm import AccumulatedBatchNorm, BatchNorm, DyT, SwitchableNorm
from gainstage.nn.norm._factory import CHANNELS, FEATURES

NEEDED = {"accumulated": {"micro_batches": 2}, "adaln": {"cond_features": 3}, "adaln_zero": {"cond_features": 3}}
SPATIAL = {"instance", "switchable", "cross", "self", *(f"evo_{kind}" for kind in ("b0", "b1", "b2", "s0", "s1", "s2"))}


@pytest.mark.parametrize("name", CHANNELS)
def test_every_name_with_channels_takes_every_number_of_axes(name: str) -> None:
    for positions in [(), (5,), (4, 4), (3, 3, 3), (2, 2, 2, 2)]:
        if not positions and name in SPATIAL:
            continue
        layer, x = norm(name, 48, **NEEDED.get(name, {})), torch.randn(4, 48, *positions)
        assert layer(x).shape == x.shape
        assert layer.eval()(x).shape == x.shape


@pytest.mark.parametrize("name", FEATURES)
def test_every_name_with_features_takes_every_number_of_axes(name: str) -> None:
    for tokens in [(), (5,), (4, 4)]:
        layer, x = norm(name, 48, **NEEDED.get(name, {})), torch.randn(4, *tokens, 48)
        output = layer(x, torch.randn(4, 3)) if "cond_features" in NEEDED.get(name, {}) else layer(x)
        assert (output[0] if isinstance(output, tuple) else output).shape == x.shape


@pytest.mark.parametrize("name", [*CHANNELS, *FEATURES])
def test_an_empty_batch_stays_empty_in_evaluation(name: str) -> None:
    layer = norm(name, 48, **NEEDED.get(name, {})).eval()
    x = torch.randn((0, 48, 4, 4) if name in CHANNELS else (0, 4, 48), requires_grad=True)
    output = layer(x, torch.randn(0, 3)) if "cond_features" in NEEDED.get(name, {}) else layer(x)
    output = output[0] if isinstance(output, tuple) else output
    assert output.shape == x.shape
    output.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize("name", sorted({*CHANNELS, *FEATURES} - {"cross"}))
@pytest.mark.parametrize(("dtype", "mean", "scale"), [(torch.bfloat16, 10, 1), (torch.float16, 600, 30)])
def test_statistics_of_half_precision_are_as_exact_as_its_input(name: str, dtype: torch.dtype, mean, scale) -> None:
    """A mean kept in bfloat16 would be off by 0.03; squares of 600 do not fit into float16. Both where autograd's
    formula runs and where it is written by hand."""
    layer = norm(name, 48, **NEEDED.get(name, {}))
    generator = torch.Generator().manual_seed(0)
    x = (mean + scale * torch.randn((6, 48, 4, 4) if name in CHANNELS else (6, 4, 48), generator=generator)).to(dtype)
    further = [torch.randn(6, 3, generator=generator)] if "cond_features" in NEEDED.get(name, {}) else []
    exact = copy.deepcopy(layer).double()(x.double(), *(tensor.double() for tensor in further))
    for compiled in (False, True):
        twin = copy.deepcopy(layer)
        output = (torch.compile(twin, backend="eager") if compiled else twin)(x, *further)
        for actual, expected in zip(tensors(output), tensors(exact), strict=True):
            assert actual.dtype == dtype
            torch.testing.assert_close(actual.double(), expected, rtol=1e-2, atol=8e-3)


@pytest.mark.parametrize("options", [{"affine": False, "track_running_stats": False}, {"dtype": torch.bfloat16}])
def test_a_batch_norm_without_a_number_in_float32_keeps_its_mean(options: dict) -> None:
    x = (10 + torch.randn(6, 8, 4, 4, generator=torch.Generator().manual_seed(0))).bfloat16()
    exact = BatchNorm(8).double()(x.double())
    torch.testing.assert_close(BatchNorm(8, **options)(x).double(), exact, rtol=1e-2, atol=8e-3)


def tensors(output: torch.Tensor | tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return output if isinstance(output, tuple) else (output,)


@pytest.mark.parametrize("name", ["batch", "Batch", "BatchNorm", "batch_norm", "batchnorm", "batch-norm"])
def test_spellings(name: str) -> None:
    assert type(norm(name, 8, momentum=0.3)) is BatchNorm
    assert norm(name, 8, momentum=0.3).momentum == 0.3


@pytest.mark.parametrize(("name", "near"), [("bach", "batch"), ("evonrm_s1", "evo_s1"), ("swichable", "switchable")])
def test_an_unknown_name_suggests_the_nearest(name: str, near: str) -> None:
    with pytest.raises(LayerError, match=f"no normalization is named '{name}'. Did you mean '{near}'"):
        norm(name, 8)


def test_an_option_that_a_layer_does_not_take_is_named() -> None:
    with pytest.raises(LayerError, match="momentum"):
        norm("layer", 8, momentum=0.1)
    with pytest.raises(LayerError, match="There are: batch, group"):
        norm("xyzzy", 8)


@pytest.mark.parametrize(
    ("layer", "per_feature", "learned", "total"),
    [
        (nn.BatchNorm1d(10), 4, 2, 41),
        (BatchNorm(10), 4, 2, 41),
        (BatchNorm(10, affine=False), 2, 0, 21),
        (BatchNorm(10, track_running_stats=False), 2, 2, 20),
        (BatchNorm(1), 4, 2, 5),
        (nn.LayerNorm(10), 2, 2, 20),
        (nn.LayerNorm((2, 5)), 2, 2, 20),
        (norm("rms", 10), 1, 1, 10),
        (norm("group", 10), 2, 2, 20),
        (norm("instance", 10), 0, 0, 0),
        (norm("frn", 10, learnable_eps=True), 4, 4, 40),
        (norm("evo_b0", 10), 4, 3, 40),
        (DyT(10), 2, 2, 21),
        (DyT(1), 2, 2, 3),
        (SwitchableNorm(3), 4, 2, 19),
        (AccumulatedBatchNorm(10, 2), 6, 2, 63),
        (norm("self", 10), 12, 8, 121),
    ],
)
def test_what_a_layer_holds(layer: nn.Module, per_feature: int, learned: int, total: int) -> None:
    count = parameter_count(layer)
    assert (count.per_feature, count.learnable_per_feature, count.total) == (per_feature, learned, total)
    held = [*layer.parameters(), *layer.buffers()]
    assert total == sum(tensor.numel() for tensor in held)


def test_a_frozen_parameter_is_stored_and_not_learned() -> None:
    layer = nn.BatchNorm1d(10)
    layer.weight.requires_grad_(False)
    count = parameter_count(layer)
    assert count.learnable == {"bias": 10}
    assert "1 of them learned (bias)" in str(count)


def test_a_count_of_a_whole_model_is_refused() -> None:
    with pytest.raises(LayerError, match="Ask for one normalization layer"):
        parameter_count(nn.Sequential(nn.BatchNorm1d(3)))
