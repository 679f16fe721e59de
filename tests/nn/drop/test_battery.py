from collections.abc import Callable

import pytest
import torch
from battery import Case, battery
from torch import Tensor, nn

from gainstage.nn.drop import (
    AlphaDropout,
    DropBlock1d,
    DropBlock2d,
    DropBlock3d,
    DropConnect,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropPath,
    FeatureAlphaDropout,
    GaussianDropout,
    GaussianNoise,
    LockedDropout,
    PatchDropout,
    SpatialDropout1d,
    SpatialDropout2d,
    SpatialDropout3d,
)


def identity(layer: nn.Module, x: Tensor) -> Tensor:
    return x


def averaged(layer: nn.Module, x: Tensor) -> Tensor:
    """Softplus of a normal variable of the paper's mean and variance, by the trapezoidal rule on a fine grid."""
    inner = layer.layer
    mean = inner(x)
    variance = layer.p / (1 - layer.p) * (x.square() @ inner.weight.T.square() + inner.bias.square())
    t = torch.linspace(-9, 9, 2001, dtype=x.dtype)
    density = torch.exp(-t.square() / 2)
    return (torch.nn.functional.softplus(mean[..., None] + variance.sqrt()[..., None] * t) * density).sum(
        -1
    ) / density.sum()


def case(make: Callable[[], nn.Module], *shapes: tuple[int, ...], name: str, **more: object) -> Case:
    more = {"reference": identity} | more
    return Case(name, make, shapes=shapes, stochastic=True, **more)


CASES = [
    case(lambda: Dropout(0.3), (4, 6), (5,), (2, 3, 4, 5), (0, 6), name="dropout"),
    case(lambda: AlphaDropout(0.3), (4, 6), (5,), (2, 3, 4, 5), name="alpha"),
    case(lambda: FeatureAlphaDropout(0.3), (4, 6), (2, 3, 5), (2, 3, 4, 5), name="feature-alpha"),
    case(lambda: GaussianDropout(0.3), (4, 6), (5,), (2, 3, 4, 5), (0, 6), name="gaussian"),
    case(lambda: GaussianNoise(0.3), (4, 6), (5,), (2, 3, 4, 5), (0, 6), name="noise"),
    case(lambda: PatchDropout(0.3), (2, 5, 3), (3, 4), name="patch", same=False, channels=False),
    case(lambda: Dropout1d(0.3), (2, 6, 5), (6, 5), name="dropout-1d"),
    case(lambda: Dropout2d(0.3), (2, 3, 2, 4), (6, 4, 5), name="dropout-2d"),
    case(lambda: Dropout3d(0.3), (2, 2, 2, 3, 2), (6, 3, 4, 5), name="dropout-3d"),
    case(lambda: SpatialDropout1d(0.3), (2, 6, 5), (6, 5), name="spatial-1d"),
    case(lambda: SpatialDropout2d(0.3), (2, 3, 2, 4), (6, 4, 5), name="spatial-2d"),
    case(lambda: SpatialDropout3d(0.3), (2, 2, 2, 3, 2), (6, 3, 4, 5), name="spatial-3d"),
    case(lambda: DropBlock1d(0.3, 3), (2, 6, 5), (6, 2), name="block-1d"),
    case(lambda: DropBlock2d(0.3, (2, 9)), (2, 3, 2, 4), (6, 4, 5), name="block-2d"),
    case(lambda: DropBlock2d(0.3, 2, couple_channels=True), (2, 3, 2, 4), (6, 4, 5), name="block-coupled"),
    case(lambda: DropBlock3d(0.3, 2), (2, 2, 2, 3, 2), (3, 3, 4, 2), (0, 3, 3, 4, 2), name="block-3d"),
    case(lambda: DropPath(0.3), (4, 6), (5,), (2, 3, 4, 5), name="path-row"),
    case(lambda: DropPath(0.3, "batch"), (4, 6), (2, 3, 4, 5), name="path-batch"),
    case(lambda: DropPath(0.3, scale_by_keep=False), (4, 6), name="path-unscaled"),
    case(lambda: LockedDropout(0.3), (5, 2, 3), (7, 4), name="locked"),
    case(lambda: LockedDropout(0.3, batch_first=True), (2, 5, 3), name="locked-batch-first"),
    case(
        lambda: DropConnect(nn.Linear(6, 3), 0.3),
        (4, 6),
        (2, 5, 6),
        name="connect",
        same=False,
        reference=lambda layer, x: layer.layer(x),
    ),
    case(
        lambda: DropConnect(nn.Linear(6, 3), 0.3, activation=nn.functional.softplus, per_sample=False),
        (4, 6),
        (2, 5, 6),
        name="connect-activation",
        same=False,
        reference=averaged,
        skip={"autocast": "sigma grows with the input: at 1e4 a bfloat16 softplus of 32 points is judged elsewhere"},
    ),
    case(
        lambda: DropConnect(nn.Conv2d(2, 4, 3, padding=1, groups=2, padding_mode="reflect"), 0.3),
        (2, 2, 2, 3),
        name="connect-conv",
        same=False,
        reference=lambda layer, x: layer.layer(x),
    ),
]


@pytest.mark.parametrize(("case", "check"), battery(CASES))
def test_battery(case: Case, check: Callable[[Case], None]) -> None:
    check(case)
