"""Every normalization layer through the battery, against its formula written naively in float64."""

import pytest
import torch
from battery import Case, battery
from torch import Tensor, nn
from torch.nn import functional as F

from gainstage.nn.norm import (
    TLU,
    AccumulatedBatchNorm,
    AdaLN,
    AdaLNZero,
    AdaNorm,
    BatchNorm,
    BatchNorm1d,
    BatchNorm2d,
    BatchNorm3d,
    BatchRenorm,
    CrossNorm,
    DyT,
    EvoNormB0,
    EvoNormS0,
    FilterResponseNorm,
    GhostBatchNorm,
    GlobalResponseNorm,
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    LayerNormSimple,
    RMSNorm,
    SelfNorm,
    SwitchableNorm,
    WeightStandardization,
)

C = 6
VECTOR, SEQUENCE, IMAGE, VOLUME = (5, C), (3, C, 5), (3, C, 4, 3), (2, C, 3, 2, 2)
CHANNELS, MAPS = [IMAGE, VECTOR, SEQUENCE, VOLUME], [IMAGE, SEQUENCE, VOLUME]
TOKENS = [(2, 4, C), (5, C), (2, 3, 2, C)]
UNTRUE = {"numerical_gradient": "part of the formula passes no gradient: a difference quotient is another number"}
WINDOW = ("window_mean", "window_square")


def c(vector: Tensor, x: Tensor) -> Tensor:
    return vector.reshape(1, -1, *[1] * (x.dim() - 2))


def moments(x: Tensor, axes: list[int]) -> tuple[Tensor, Tensor]:
    mean = x.mean(axes, keepdim=True)
    return mean, (x - mean).square().mean(axes, keepdim=True)


def positions(x: Tensor) -> list[int]:
    return list(range(2, x.dim()))


def batch(layer: nn.Module, x: Tensor) -> Tensor:
    axes = [0, *positions(x)]
    mean, var = moments(x, axes) if layer.training else (c(layer.running_mean, x), c(layer.running_var, x))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def ghost(layer: nn.Module, x: Tensor) -> Tensor:
    if not layer.training:
        return batch(layer, x)
    assert len(x) in (2, 3, 5)
    sizes = {2: [2], 3: [2, 1], 5: [2, 2, 1]}[len(x)]
    return torch.cat([batch(layer, part) for part in x.split(sizes)])


def renorm(layer: nn.Module, x: Tensor) -> Tensor:
    running_std = (layer.running_var + layer.eps).sqrt()
    if not layer.training:
        y = (x - c(layer.running_mean, x)) / c(running_std, x)
    else:
        mean, var = moments(x, [0, *positions(x)])
        std = (var + layer.eps).sqrt()
        r = (std.detach() / c(running_std, x)).clamp(1 / 1.5, 1.5)
        d = ((mean.detach() - c(layer.running_mean, x)) / c(running_std, x)).clamp(-0.2, 0.2)
        y = (x - mean) / std * r + d
    return y * c(layer.weight, x) + c(layer.bias, x)


def instance(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, positions(x))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def group(layer: nn.Module, x: Tensor) -> Tensor:
    parts = []
    for part in x.chunk(layer.num_groups, 1):
        mean, var = moments(part, list(range(1, x.dim())))
        parts.append((part - mean) / (var + layer.eps).sqrt())
    return torch.cat(parts, 1) * c(layer.weight, x) + c(layer.bias, x)


def over_features(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, [-1])
    y = (x - mean) / (var + layer.eps).sqrt()
    return y if getattr(layer, "weight", None) is None else y * layer.weight + layer.bias


def ada(layer: nn.Module, x: Tensor) -> Tensor:
    y = over_features(layer, x)
    return layer.scale * (1 - layer.k * y).detach() * y


def rms(layer: nn.Module, x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * layer.weight


def evo_s0(layer: nn.Module, x: Tensor) -> Tensor:
    stds = [
        (moments(part, list(range(1, x.dim())))[1] + layer.eps).sqrt().expand_as(part)
        for part in x.chunk(layer.groups, 1)
    ]
    y = x / (1 + torch.exp(-c(layer.v, x) * x)) / torch.cat(stds, 1)
    return y * c(layer.weight, x) + c(layer.bias, x)


def evo_b0(layer: nn.Module, x: Tensor) -> Tensor:
    var = moments(x, [0, *positions(x)])[1] if layer.training else c(layer.running_var, x)
    line = c(layer.v, x) * x + (moments(x, positions(x))[1] + layer.eps).sqrt()
    y = x / torch.maximum((var + layer.eps).sqrt(), line)
    return y * c(layer.weight, x) + c(layer.bias, x)


def frn(layer: nn.Module, x: Tensor) -> Tensor:
    square = x.square().mean(positions(x), keepdim=True) if x.dim() > 2 else x.square()
    eps = layer.eps if layer.learned_eps is None else layer.eps + c(layer.learned_eps.abs(), x)
    y = x / (square + eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)
    return y if layer.threshold is None else torch.maximum(y, c(layer.threshold, x))


def grn(layer: nn.Module, x: Tensor) -> Tensor:
    norm = x.square().sum(positions(x), keepdim=True).sqrt() if x.dim() > 2 else x.square().sqrt()
    return c(layer.weight, x) * (x * norm / (norm.mean(1, keepdim=True) + layer.eps)) + c(layer.bias, x) + x


def switchable(layer: nn.Module, x: Tensor) -> Tensor:
    found = [moments(x, positions(x)), moments(x, [1, *positions(x)]), moments(x, [0, *positions(x)])]
    if not layer.training:
        found[2] = c(layer.running_mean, x), c(layer.running_var, x)
    mean = sum(w * each[0] for w, each in zip(layer.mean_weight.softmax(0), found, strict=True))
    var = sum(w * each[1] for w, each in zip(layer.var_weight.softmax(0), found, strict=True))
    return (x - mean) / (var + layer.eps).sqrt() * c(layer.weight, x) + c(layer.bias, x)


def self_norm(layer: nn.Module, x: Tensor) -> Tensor:
    mean, var = moments(x, positions(x))
    std = (var + layer.eps).sqrt()
    gates = []
    for part in (slice(0, C), slice(C, 2 * C)):
        w = layer.weight[part]
        z = c(w[:, 0], x) * mean + c(w[:, 1], x) * std
        at = c(layer.gate.running_mean[part], x), c(layer.gate.running_var[part], x)
        m, v = moments(z, [0]) if layer.training else at
        z = (z - m) / (v + layer.gate.eps).sqrt() * c(layer.gate.weight[part], x) + c(layer.gate.bias[part], x)
        gates.append(1 / (1 + torch.exp(-z)))
    return std * gates[0] * (x - mean) / std + mean * gates[1]


def adaln(layer: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    vectors = (condition / (1 + torch.exp(-condition))) @ layer.modulation.weight.T + layer.modulation.bias
    while vectors.dim() < x.dim():
        vectors = vectors[:, None]
    shift, scale, *gate = vectors.split(C, -1)
    y = over_features(layer, x) * (1 + scale) + shift
    return torch.cat([y, gate[0] + 0 * y], -1) if gate else y


class Zero(AdaLNZero):
    """Both outputs in one."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y, gate = super().forward(x, condition)
        return torch.cat([y, gate + 0 * y], -1)


def standardized(weight: Tensor, eps: float) -> Tensor:
    """For `[out, in, ...]`."""
    mean, var = moments(weight, list(range(1, weight.dim())))
    return (weight - mean) / (var + eps).sqrt()


def conv(layer: nn.Module, x: Tensor) -> Tensor:
    return F.conv2d(x, standardized(layer.layer.weight, layer.eps), layer.layer.bias, groups=2)


def linear(layer: nn.Module, x: Tensor) -> Tensor:
    return F.linear(x, standardized(layer.layer.weight, layer.eps), layer.layer.bias)


def transposed(layer: nn.Module, x: Tensor) -> Tensor:
    """A group at a time: its weight `[in, out, ...]`, standardized over the inputs of each output."""
    outputs = []
    bias = layer.layer.bias.chunk(2)
    for k, (part, weight) in enumerate(zip(x.chunk(2, 1), layer.layer.weight.chunk(2), strict=True)):
        weight = standardized(weight.transpose(0, 1), layer.eps).transpose(0, 1)
        outputs.append(F.conv_transpose2d(part, weight, bias[k], stride=2))
    return torch.cat(outputs, 1)


WEIGHT = {"large_mean": "the mean is not taken away here: it is multiplied"}
CASES = [
    Case("batch", lambda: BatchNorm(C), CHANNELS, reference=batch),
    Case("batch-cumulative", lambda: BatchNorm(C, momentum=None), CHANNELS, reference=batch),
    Case("batch-1d", lambda: BatchNorm1d(C), [SEQUENCE, VECTOR], reference=batch),
    Case("batch-2d", lambda: BatchNorm2d(C), [IMAGE], reference=batch),
    Case("batch-3d", lambda: BatchNorm3d(C), [VOLUME], reference=batch),
    Case("ghost", lambda: GhostBatchNorm(C, 2), MAPS, reference=ghost),
    Case("accumulated", lambda: AccumulatedBatchNorm(C, 1), CHANNELS, reference=batch, kept=WINDOW),
    Case("accumulated-window", lambda: AccumulatedBatchNorm(C, 3), CHANNELS, reference=batch, kept=WINDOW),
    Case(
        "renorm",
        lambda: BatchRenorm(C, r_max=1.5, d_max=0.2, warmup=-1, r_steps=0, d_steps=0),
        CHANNELS,
        reference=renorm,
        skip=UNTRUE,
    ),
    Case("instance", lambda: InstanceNorm(C, affine=True), MAPS, reference=instance),
    Case("instance-1d", lambda: InstanceNorm1d(C, affine=True), [SEQUENCE], reference=instance),
    Case("instance-2d", lambda: InstanceNorm2d(C, affine=True), [IMAGE], reference=instance),
    Case("instance-3d", lambda: InstanceNorm3d(C, affine=True), [VOLUME], reference=instance),
    Case("group", lambda: GroupNorm(2, C), CHANNELS, reference=group),
    Case("layer", lambda: LayerNorm(C), TOKENS, channels=False, reference=over_features),
    Case("layer-simple", lambda: LayerNormSimple(C), TOKENS, channels=False, reference=over_features),
    Case("ada", lambda: AdaNorm(C, k=0.2, scale=1.5), TOKENS, channels=False, reference=ada, skip=UNTRUE),
    Case("rms", lambda: RMSNorm(C, eps=1e-3), TOKENS, channels=False, reference=rms),
    Case("evo-s0", lambda: EvoNormS0(C, groups=2), MAPS, reference=evo_s0),
    Case("evo-b0", lambda: EvoNormB0(C), MAPS, reference=evo_b0),
    Case("frn", lambda: FilterResponseNorm(C), CHANNELS, reference=frn),
    Case("frn-eps", lambda: FilterResponseNorm(C, learnable_eps=True, tlu=False), CHANNELS, reference=frn),
    Case("tlu", lambda: TLU(C), CHANNELS, reference=lambda layer, x: torch.maximum(x, c(layer.threshold, x))),
    Case("grn", lambda: GlobalResponseNorm(C), CHANNELS, reference=grn),
    Case("switchable", lambda: SwitchableNorm(C), MAPS, reference=switchable),
    Case("cross", lambda: CrossNorm(p=1.0), MAPS, reference=lambda layer, x: x, stochastic=True),
    Case("self", lambda: SelfNorm(C), MAPS, reference=self_norm, skip=WEIGHT),
    Case(
        "dyt",
        lambda: DyT(C),
        TOKENS,
        channels=False,
        reference=lambda layer, x: layer.weight * torch.tanh(layer.alpha * x) + layer.bias,
    ),
    Case(
        "adaln",
        lambda: AdaLN(C, 4),
        [(2, 3, C), (2, C), (2, 2, 2, C)],
        further=[(2, 4)],
        channels=False,
        reference=adaln,
    ),
    Case(
        "adaln-zero",
        lambda: Zero(C, 4),
        [(2, 3, C), (2, C), (2, 2, 2, C)],
        further=[(2, 4)],
        channels=False,
        reference=adaln,
        same=False,
    ),
    Case(
        "ws-conv",
        lambda: WeightStandardization(nn.Conv2d(C, 4, 2, groups=2)),
        [IMAGE],
        reference=conv,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "ws-linear",
        lambda: WeightStandardization(nn.Linear(C, 4)),
        TOKENS[:2],
        channels=False,
        reference=linear,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "ws-transposed",
        lambda: WeightStandardization(nn.ConvTranspose2d(C, 4, 2, stride=2, groups=2)),
        [IMAGE],
        reference=transposed,
        same=False,
        skip=WEIGHT,
    ),
]


@pytest.mark.parametrize(("case", "check"), battery(CASES))
def test_battery(case, check) -> None:
    check(case)
