"""What single layers promise beside their formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gainstage.nn import LayerError, LayerTypeError
from gainstage.nn.norm import (
    AdaLN,
    AdaLNZero,
    AdaNorm,
    CrossNorm,
    DyT,
    EvoNormS0,
    FilterResponseNorm,
    GlobalResponseNorm,
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    LayerNorm2d,
    LayerNormSimple,
    QKNorm,
    ScaledStdConv,
    SelfNorm,
    SoftCap,
    SpectralNorm,
    WeightNorm,
    WeightStandardization,
    soft_cap,
    standardize,
)


def test_group_norm_in_channels_last_keeps_a_small_deviation_from_a_large_mean() -> None:
    """Mean 1000, standard deviation 0.01: torch 2.13 computes E[x^2] - E[x]^2 in that format and is off by 10."""
    x = 1000 + 0.01 * torch.randn(4, 6, 16, 16, generator=torch.Generator().manual_seed(0))
    x = x.to(memory_format=torch.channels_last)
    exact = nn.GroupNorm(2, 6).double()(x.double())
    assert (GroupNorm(2, 6)(x) - exact).abs().max() < 0.05


@pytest.mark.parametrize(("track", "affine"), [(False, False), (True, True)])
def test_instance_norm_is_torchs_with_running_statistics(track: bool, affine: bool) -> None:
    ours = InstanceNorm(3, affine=affine, track_running_stats=track)
    theirs = nn.InstanceNorm2d(3, affine=affine, track_running_stats=track)
    x = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.eval()(x + 1), theirs.eval()(x + 1))
    assert all(torch.equal(buffer, theirs.get_buffer(name)) for name, buffer in ours.named_buffers())
    assert dict(ours.named_buffers()).keys() == dict(theirs.named_buffers()).keys()


def test_instance_norm_of_one_sample_without_a_batch_axis() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(InstanceNorm1d(3)(x), InstanceNorm1d(3)(x[None])[0])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: GroupNorm(4, 6), "6 channels do not split into 4 equal groups.*for instance 2"),
        (lambda: EvoNormS0(48), "for instance 16"),
        (lambda: GroupNorm(6, 6)(torch.randn(3, 6)), "at least 2 values a group"),
        (lambda: InstanceNorm(6)(torch.randn(3, 6)), r"expected \[N, 6, H, \.\.\.\]"),
        (lambda: InstanceNorm(6)(torch.randn(3, 6, 1)), "at least 2 values"),
        (lambda: InstanceNorm2d(6)(torch.randn(6, 4)), "InstanceNorm takes any number of axes"),
        (lambda: FilterResponseNorm(6)(torch.randn(3, 4, 6)), r"x\.movedim\(-1, 1\)"),
        (lambda: DyT(6)(torch.randn(3, 6, 4)), r"x\.movedim\(1, -1\)"),
        (lambda: AdaNorm(6)(torch.randn(3, 4)), "features on the last axis"),
        (lambda: CrossNorm(p=1.5), "a probability from 0 to 1"),
        (lambda: CrossNorm()(torch.randn(3, 4)), "positions for its statistics"),
        (lambda: SelfNorm(6)(torch.randn(1, 6, 4)), "at least 2 values"),
        (lambda: AdaLN(6, 4)(torch.randn(2, 3, 6), torch.randn(2, 5)), r"expected a condition \[2, 4\]"),
        (lambda: AdaLN(6, 4)(torch.randn(2, 3, 6), torch.randn(3, 4)), r"expected a condition \[2, 4\]"),
        (lambda: WeightStandardization(nn.BatchNorm1d(3)), "got BatchNorm1d"),
        (lambda: WeightStandardization(nn.Conv1d(3, 3, 1, groups=3)), "one number for each output"),
    ],
)
def test_what_cannot_be_says_what_can(call, says: str) -> None:
    with pytest.raises(LayerError, match=says):
        call()


def test_the_positive_scale_of_ada_norm_takes_no_gradient() -> None:
    """The gradient is that of `s * y` with s held fixed, which differs from that of the product."""
    layer, x = AdaNorm(5, k=0.3), torch.randn(2, 5, requires_grad=True)
    y = LayerNormSimple(5)(x)
    scale = (1 - 0.3 * y).detach()
    weight = torch.randn(2, 5)
    expected = torch.autograd.grad((scale * y * weight).sum(), x)[0]
    torch.testing.assert_close(torch.autograd.grad((layer(x) * weight).sum(), x)[0], expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(1, 6))
def test_cross_norm_hands_whole_statistics_from_sample_to_sample(seed: int, size: int) -> None:
    torch.manual_seed(seed)
    x = torch.randn(size, 3, 40) * torch.rand(size, 3, 1) + torch.randn(size, 3, 1)
    y = CrossNorm(p=1.0, eps=0.0)(x)
    distance = (y.mean(2)[:, None] - x.mean(2)[None]).abs().amax(2) + (y.std(2)[:, None] - x.std(2)[None]).abs().amax(2)
    source = distance.argmin(1)
    assert distance.amin(1).max() < 1e-4
    assert sorted(source.tolist()) == list(range(size))  # a permutation
    standard = [(z - z.mean(2, keepdim=True)) / z.std(2, keepdim=True) for z in (x, y)]
    torch.testing.assert_close(standard[0], standard[1], rtol=1e-3, atol=1e-3)


def test_cross_norm_is_active_as_often_as_asked() -> None:
    """Of 4000 batches at p = 0.3; a false failure is beyond 5 standard deviations of 0.0072: below 1e-6."""
    torch.manual_seed(0)
    layer, x = CrossNorm(p=0.3), torch.randn(32, 1, 2)  # the identity permutation of 32 has probability 4e-36
    share = sum(not torch.equal(layer(x), x) for _ in range(4000)) / 4000
    assert share == pytest.approx(0.3, abs=5 * 0.0073)


def test_layers_that_start_as_the_identity_or_a_layer_norm() -> None:
    x, condition = torch.randn(3, 4, 8), torch.randn(3, 5)
    assert torch.equal(GlobalResponseNorm(4)(x), x)
    plain = nn.functional.layer_norm(x, (8,), eps=1e-6)
    torch.testing.assert_close(AdaLN(8, 5)(x, condition), plain)
    y, gate = AdaLNZero(8, 5)(x, condition)
    torch.testing.assert_close(y, plain)
    assert gate.eq(0).all()


def test_a_zero_gate_learns_in_the_first_step() -> None:
    layer, branch, x = AdaLNZero(8, 5), nn.Linear(8, 8), torch.randn(3, 4, 8)
    y, gate = layer(x, torch.randn(3, 5))
    (x + gate * branch(y)).square().sum().backward()
    shift, scale, alpha = layer.modulation.weight.grad.chunk(3)
    assert alpha.abs().max() > 0
    assert shift.eq(0).all()  # not before the gate opens
    assert scale.eq(0).all()


def test_a_condition_for_each_token() -> None:
    layer, x, condition = AdaLN(8, 5), torch.randn(3, 4, 8), torch.randn(3, 5)
    nn.init.normal_(layer.modulation.weight)
    same = layer(x, condition[:, None].expand(-1, 4, -1))
    torch.testing.assert_close(same, layer(x, condition))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 4),
        nn.Conv1d(6, 4, 3, groups=2),
        nn.Conv3d(6, 4, 2),
        nn.ConvTranspose1d(6, 4, 3),
        nn.ConvTranspose2d(6, 4, 3, groups=2),
        nn.ConvTranspose3d(6, 4, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_standardized_weights_forget_a_constant_and_a_scale(layer: nn.Module) -> None:
    """Adding a constant to the weights of an output, or scaling them, changes nothing; each has mean 0, variance 1."""
    wrapped = WeightStandardization(layer, eps=1e-12)
    x = torch.randn(2, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 6, *[5] * (layer.weight.dim() - 2))
    before = wrapped(x)
    with torch.no_grad():
        layer.weight.mul_(3.0).add_(0.7)
    torch.testing.assert_close(wrapped(x), before, rtol=1e-3, atol=1e-4)
    assert before.var() > 0
    weight = wrapped.weight().detach()
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):
        weight = torch.cat([part.transpose(0, 1) for part in weight.chunk(layer.groups)])
    flat = weight.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(flat.var(1, correction=0), torch.ones(4), atol=1e-4, rtol=0)


def test_the_weight_that_is_learned_is_saved() -> None:
    layer = WeightStandardization(nn.Conv2d(3, 4, 3))
    assert set(layer.state_dict()) == {"layer.weight", "layer.bias"}
    layer(torch.randn(1, 3, 5, 5)).sum().backward()
    assert layer.layer.weight.grad.shape == layer.layer.weight.shape
    torch.testing.assert_close(layer.layer.weight.grad.sum((1, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)


def test_standardize_names_the_groups_of_a_transposed_weight() -> None:
    weight = torch.randn(6, 2, 3)  # in 6, out 2 for each of 3 groups
    found = standardize(weight, transposed=True, groups=3)
    for k in range(3):
        part = slice(2 * k, 2 * k + 2)
        alone = standardize(weight[part], transposed=True)
        torch.testing.assert_close(found[part], alone)


def test_scaled_standardized_layers_keep_the_variance_of_a_deep_relu_network() -> None:
    """gamma = sqrt(2 / (1 - 1 / pi)): the inverse standard deviation of a rectified normal variable."""
    torch.manual_seed(0)
    z = torch.randn(512, 256)
    for _ in range(10):
        z = ScaledStdConv(nn.Linear(256, 256, bias=False), gamma=(2 / (1 - 1 / torch.pi)) ** 0.5)(z.relu())
        assert 0.8 < z.var(0).mean() < 1.25


def test_normalized_queries_and_keys_have_bounded_logits_whatever_comes_in() -> None:
    torch.manual_seed(0)
    layer = QKNorm(16)
    q, k = layer(1e4 * torch.randn(2, 3, 50, 16), 1e-4 + 1e3 * torch.randn(2, 3, 50, 16))
    assert (q @ k.mT / 4).abs().max() <= 4 + 1e-4
    assert [name for name, _ in layer.named_parameters()] == ["q.weight", "k.weight"]


def test_a_soft_cap_passes_what_is_small_and_bounds_what_is_large() -> None:
    x = torch.tensor([-1e6, -0.01, 0.0, 0.01, 1e6], dtype=torch.float64, requires_grad=True)
    y = soft_cap(x, 5.0)
    torch.testing.assert_close(y, torch.tensor([-5.0, -0.01, 0.0, 0.01, 5.0], dtype=torch.float64), rtol=1e-5, atol=0)
    assert torch.autograd.grad(y[2], x)[0][2] == 1
    for cap in (0.0, -1.0, float("inf")):
        with pytest.raises(LayerError, match="a number above 0"):
            SoftCap(cap)


def test_layers_that_reweight_refuse_what_has_no_such_weight() -> None:
    for kind in (WeightStandardization, ScaledStdConv, SpectralNorm, WeightNorm):
        with pytest.raises(LayerTypeError, match="and got Embedding"):
            kind(nn.Embedding(3, 4))
    with pytest.raises(LayerError, match="use groups=1"):
        ScaledStdConv(nn.ConvTranspose1d(4, 4, 3, groups=2))
    with pytest.raises(LayerError, match="1 or more for each training pass"):
        SpectralNorm(nn.Linear(3, 4), n_power_iterations=0)


def test_a_transposed_layer_is_scaled_by_the_inputs_of_each_output() -> None:
    layer = ScaledStdConv(nn.ConvTranspose1d(6, 4, 3), eps=0.0)
    torch.testing.assert_close(layer.weight().square().sum((0, 2)), torch.ones(4))
    torch.testing.assert_close(layer.weight().sum((0, 2)), torch.zeros(4), rtol=0, atol=1e-5)


def test_layer_norm_2d_keeps_each_memory_format() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert LayerNorm2d(3)(x).is_contiguous()
    assert LayerNorm2d(3)(x.to(memory_format=torch.channels_last)).is_contiguous(memory_format=torch.channels_last)
    assert list(LayerNorm2d(3, affine=False).parameters()) == []
