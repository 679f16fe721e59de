"""Every normalization layer through the battery, against its formula written naively in float64."""

import naive_norm as naive
import pytest
import torch
from battery import Case, battery
from torch import Tensor, nn

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
    Derf,
    DyT,
    EvoNormB0,
    EvoNormB1,
    EvoNormB2,
    EvoNormS0,
    EvoNormS1,
    EvoNormS2,
    FilterResponseNorm,
    GhostBatchNorm,
    GlobalResponseNorm,
    GroupNorm,
    InstanceNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
    LayerNorm,
    LayerNorm2d,
    LayerNormSimple,
    LocalResponseNorm,
    QKNorm,
    RMSNorm,
    ScaledStdConv,
    SelfNorm,
    SoftCap,
    SpectralNorm,
    SwitchableNorm,
    WeightNorm,
    WeightStandardization,
)

C = naive.C
VECTOR, SEQUENCE, IMAGE, VOLUME = (5, C), (3, C, 5), (3, C, 4, 3), (2, C, 3, 2, 2)
CHANNELS, MAPS = [IMAGE, VECTOR, SEQUENCE, VOLUME], [IMAGE, SEQUENCE, VOLUME]
TOKENS = [(2, 4, C), (5, C), (2, 3, 2, C)]
UNTRUE = {"numerical_gradient": "part of the formula passes no gradient: a difference quotient is another number"}
WINDOW = ("window_mean", "window_square")


class Both(QKNorm):
    """Queries and keys in one."""

    def forward(self, q: Tensor, k: Tensor) -> Tensor:
        return torch.cat(super().forward(q, k), -1)


class Zero(AdaLNZero):
    """Both outputs in one."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        y, gate = super().forward(x, condition)
        return torch.cat([y, gate + 0 * y], -1)


MADE_OF_WEIGHT = {"meta": "a part of the state is made from the weight, which the layer inside draws again after it"}
WEIGHT = {"large_mean": "the mean is not taken away here: it is multiplied"}
CASES = [
    Case("batch", lambda: BatchNorm(C), CHANNELS, reference=naive.batch),
    Case("batch-cumulative", lambda: BatchNorm(C, momentum=None), CHANNELS, reference=naive.batch),
    Case("batch-1d", lambda: BatchNorm1d(C), [SEQUENCE, VECTOR], reference=naive.batch),
    Case("batch-2d", lambda: BatchNorm2d(C), [IMAGE], reference=naive.batch),
    Case("batch-3d", lambda: BatchNorm3d(C), [VOLUME], reference=naive.batch),
    Case("ghost", lambda: GhostBatchNorm(C, 2), MAPS, reference=naive.ghost),
    Case("accumulated", lambda: AccumulatedBatchNorm(C, 1), CHANNELS, reference=naive.batch, kept=WINDOW),
    Case("accumulated-window", lambda: AccumulatedBatchNorm(C, 3), CHANNELS, reference=naive.batch, kept=WINDOW),
    Case(
        "renorm",
        lambda: BatchRenorm(C, r_max=1.5, d_max=0.2, warmup=-1, r_steps=0, d_steps=0),
        CHANNELS,
        reference=naive.renorm,
        skip=UNTRUE,
    ),
    Case("instance", lambda: InstanceNorm(C, affine=True), MAPS, reference=naive.instance),
    Case("instance-1d", lambda: InstanceNorm1d(C, affine=True), [SEQUENCE], reference=naive.instance),
    Case("instance-2d", lambda: InstanceNorm2d(C, affine=True), [IMAGE], reference=naive.instance),
    Case("instance-3d", lambda: InstanceNorm3d(C, affine=True), [VOLUME], reference=naive.instance),
    Case("group", lambda: GroupNorm(2, C), CHANNELS, reference=naive.group),
    Case("layer", lambda: LayerNorm(C), TOKENS, channels=False, reference=naive.over_features),
    Case("layer-simple", lambda: LayerNormSimple(C), TOKENS, channels=False, reference=naive.over_features),
    Case("ada", lambda: AdaNorm(C, k=0.2, scale=1.5), TOKENS, channels=False, reference=naive.ada, skip=UNTRUE),
    Case("rms", lambda: RMSNorm(C, eps=1e-3), TOKENS, channels=False, reference=naive.rms),
    Case("evo-s0", lambda: EvoNormS0(C, groups=2), MAPS, reference=naive.evo_s0),
    Case("evo-b0", lambda: EvoNormB0(C), MAPS, reference=naive.evo_b0),
    Case("evo-b1", lambda: EvoNormB1(C), MAPS, reference=naive.evo_b1),
    Case("evo-b2", lambda: EvoNormB2(C), MAPS, reference=naive.evo_b2),
    Case("evo-s1", lambda: EvoNormS1(C, groups=2), MAPS, reference=naive.evo_s),
    Case("evo-s2", lambda: EvoNormS2(C, groups=2), MAPS, reference=naive.evo_s),
    Case("layer-2d", lambda: LayerNorm2d(C), CHANNELS, reference=naive.layer_2d),
    Case("local", lambda: LocalResponseNorm(3, alpha=0.3, k=2.0), MAPS, reference=naive.local),
    Case("frn", lambda: FilterResponseNorm(C), CHANNELS, reference=naive.frn),
    Case("frn-eps", lambda: FilterResponseNorm(C, learnable_eps=True, tlu=False), CHANNELS, reference=naive.frn),
    Case("tlu", lambda: TLU(C), CHANNELS, reference=lambda layer, x: torch.maximum(x, naive.c(layer.threshold, x))),
    Case("grn", lambda: GlobalResponseNorm(C), CHANNELS, reference=naive.grn),
    Case("switchable", lambda: SwitchableNorm(C), MAPS, reference=naive.switchable),
    Case("cross", lambda: CrossNorm(p=1.0), MAPS, reference=lambda layer, x: x, stochastic=True),
    Case("self", lambda: SelfNorm(C), MAPS, reference=naive.self_norm, skip=WEIGHT),
    Case(
        "dyt",
        lambda: DyT(C),
        TOKENS,
        channels=False,
        reference=lambda layer, x: layer.weight * torch.tanh(layer.alpha * x) + layer.bias,
    ),
    Case(
        "derf",
        lambda: Derf(C),
        TOKENS,
        channels=False,
        reference=lambda layer, x: layer.weight * torch.special.erf(layer.alpha * x + layer.shift) + layer.bias,
    ),
    Case(
        "soft-cap",
        lambda: SoftCap(3.0),
        TOKENS,
        channels=False,
        reference=lambda layer, x: 3 * (1 - 2 / (1 + torch.exp(2 * x / 3))),
    ),
    Case(
        "qk", lambda: Both(C, eps=1e-3), TOKENS[:1], further=[TOKENS[0]], channels=False, reference=naive.qk, same=False
    ),
    Case(
        "adaln",
        lambda: AdaLN(C, 4),
        [(2, 3, C), (2, C), (2, 2, 2, C)],
        further=[(2, 4)],
        channels=False,
        reference=naive.adaln,
    ),
    Case(
        "adaln-zero",
        lambda: Zero(C, 4),
        [(2, 3, C), (2, C), (2, 2, 2, C)],
        further=[(2, 4)],
        channels=False,
        reference=naive.adaln,
        same=False,
    ),
    Case(
        "ws-conv",
        lambda: WeightStandardization(nn.Conv2d(C, 4, 2, groups=2)),
        [IMAGE],
        reference=naive.conv,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "ws-linear",
        lambda: WeightStandardization(nn.Linear(C, 4)),
        TOKENS[:2],
        channels=False,
        reference=naive.linear,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "ws-transposed",
        lambda: WeightStandardization(nn.ConvTranspose2d(C, 4, 2, stride=2, groups=2)),
        [IMAGE],
        reference=naive.transposed,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "scaled-std-conv",
        lambda: ScaledStdConv(nn.Conv2d(C, 4, 2, groups=2), gamma=1.7),
        [IMAGE],
        reference=naive.scaled_std,
        same=False,
        skip=WEIGHT,
    ),
    Case(
        "spectral",
        lambda: SpectralNorm(nn.Linear(C, 4)),
        TOKENS[:2],
        channels=False,
        reference=naive.spectral,
        same=False,
        kept=("u", "v"),
        skip=WEIGHT | MADE_OF_WEIGHT | UNTRUE | {"empty": "the vectors are improved whatever the batch is"},
    ),
    Case(
        "weight-norm",
        lambda: WeightNorm(nn.Conv2d(C, 4, 2)),
        [IMAGE],
        reference=naive.weight_norm,
        same=False,
        skip=WEIGHT | MADE_OF_WEIGHT,
    ),
]


@pytest.mark.parametrize(("case", "check"), battery(CASES))
def test_battery(case, check) -> None:
    check(case)
