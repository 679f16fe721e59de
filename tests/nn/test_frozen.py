"""The frozen layer through the battery of all layers, against its formula in float64."""

import pytest
import torch
from battery import Case, battery
from torch import Tensor, nn

from gainstage.nn import FrozenBatchNorm


def naive(layer: nn.Module, x: Tensor) -> Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    mean, var, weight, bias = (
        getattr(layer, name).reshape(shape) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + layer.eps).sqrt() * weight + bias


SHAPES = [(3, 4), (3, 4, 5), (3, 4, 3, 2), (2, 4, 2, 2, 2)]
CASES = [Case("frozen", lambda: FrozenBatchNorm(4), SHAPES, reference=naive)]


@pytest.mark.parametrize(("case", "check"), battery(CASES))
def test_battery(case, check) -> None:
    check(case)


def test_nothing_is_learned_and_nothing_moves() -> None:
    layer = FrozenBatchNorm(4).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer(torch.randn(8, 4, 3) * 5 + 2)
    assert not list(layer.parameters())
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
