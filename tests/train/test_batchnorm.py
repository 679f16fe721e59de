import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gainstage.nn import AccumulatedBatchNorm, BatchNorm, BatchRenorm, GhostBatchNorm
from gainstage.train import TrainError, update_batchnorm
from gainstage.train._freeze import keep_in_eval, let_train


def sample(*shape: int, mean: float = 3.0, std: float = 2.0, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * std + mean


def population(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    flat = x.double().transpose(0, 1).flatten(1)
    return flat.mean(1), flat.var(1)


def check(layer: nn.Module, x: torch.Tensor, rel: float = 1e-6) -> None:
    mean, var = population(x)
    assert torch.allclose(layer.running_mean.double(), mean, rtol=rel, atol=rel)
    assert torch.allclose(layer.running_var.double(), var, rtol=rel, atol=0)


LAYERS = {
    "1d": (lambda: nn.BatchNorm1d(3), (23, 3)),
    "1d positions": (lambda: nn.BatchNorm1d(3), (23, 3, 5)),
    "2d": (lambda: nn.BatchNorm2d(3), (23, 3, 4, 2)),
    "3d": (lambda: nn.BatchNorm3d(3), (23, 3, 2, 3, 2)),
    "cumulative": (lambda: nn.BatchNorm1d(3, momentum=None), (23, 3)),
    "not affine": (lambda: nn.BatchNorm2d(3, affine=False), (23, 3, 4, 2)),
    "lazy": (nn.LazyBatchNorm2d, (23, 3, 4, 2)),
    "sync": (lambda: nn.SyncBatchNorm(3), (23, 3, 4)),
    "ours": (lambda: BatchNorm(3), (23, 3, 4)),
    "ghost": (lambda: GhostBatchNorm(3, virtual_batch_size=4), (23, 3)),
    "renorm": (lambda: BatchRenorm(3), (23, 3)),
    "accumulated": (lambda: AccumulatedBatchNorm(3, 4), (23, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_kind_gets_the_statistics_of_the_population(name) -> None:
    make, shape = LAYERS[name]
    x = sample(*shape).float()
    layer = make()
    momentum = layer.momentum
    assert update_batchnorm(nn.Sequential(layer), x.split(5)) == ("0",)
    check(layer, x)
    assert layer.num_batches_tracked.item() == 5
    assert layer.momentum == momentum
    assert layer.training


@settings(max_examples=30)
@given(st.lists(st.integers(2, 9), min_size=1, max_size=8))
def test_every_value_weighs_the_same_however_the_batches_are_cut(sizes) -> None:
    x = sample(sum(sizes), 2)
    layer = nn.BatchNorm1d(2).double()
    update_batchnorm(layer, x.split(sizes))
    check(layer, x, rel=1e-12)


def test_a_large_mean_does_not_swallow_the_variance() -> None:
    x = sample(1000, 4, mean=1000, std=0.01).float()
    layer = nn.BatchNorm1d(4)
    update_batchnorm(layer, x.split(64))
    check(layer, x)


def test_autocast_and_half_precision_inputs_are_counted_exactly() -> None:
    x = sample(64, 4, mean=300).bfloat16()
    layer = nn.BatchNorm1d(4)
    update_batchnorm(layer, x.split(16), run=lambda model, batch: model(batch))
    check(layer, x)


class Net(nn.Module):
    """Normalizations in a row, one of them used twice, with dropout between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = nn.BatchNorm1d(3), nn.BatchNorm1d(3), nn.BatchNorm1d(3)
        self.linear, self.drop = nn.Linear(3, 3), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        x = self.second(self.drop(self.linear(self.first(x * scale))))
        return self.second(x + 1)


def test_a_deep_layer_sees_what_training_gives_without_dropout() -> None:
    """By hand: each batch normalized by its own statistics, the second layer used twice, no dropout."""
    torch.manual_seed(0)
    model, x = Net(), sample(20, 3).float()
    read = []
    with torch.no_grad():
        for part in x.split(8):
            once = model.linear((part - part.mean(0)) / (part.var(0, correction=0) + 1e-5).sqrt())
            twice = (once - once.mean(0)) / (once.var(0, correction=0) + 1e-5).sqrt() + 1
            read += [once, twice]
    state = {k: v.clone() for k, v in model.unused.state_dict().items()}
    assert update_batchnorm(model, x.split(8)) == ("first", "second")
    check(model.first, x)
    check(model.second, torch.cat(read), rel=1e-5)
    assert all(torch.equal(v, state[k]) for k, v in model.unused.state_dict().items())


def test_torchs_own_function_weighs_a_short_batch_like_a_full_one() -> None:
    """The defect this function exists for; should torch change, the documentation has to."""
    x = torch.cat([sample(8, 1), sample(2, 1, mean=100)]).float()
    theirs, ours = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    torch.optim.swa_utils.update_bn(x.split(8), theirs)
    update_batchnorm(ours, x.split(8))
    check(ours, x)
    assert theirs.running_mean.item() == pytest.approx((x[:8].mean() + x[8:].mean()).item() / 2, rel=1e-5)


def test_any_kind_of_batch() -> None:
    x = sample(20, 3).float()
    y = torch.zeros(20)
    kinds = {
        "tensor": x.split(8),
        "pair": list(zip(x.split(8), y.split(8), strict=True)),
        "loader": DataLoader(TensorDataset(x, y), batch_size=8),
        "one": DataLoader(TensorDataset(x), batch_size=8),
        "keywords": [{"x": part} for part in x.split(8)],
        "keywords and label": [({"x": part, "scale": 1.0}, None) for part in x.split(8)],
        "positions and label": [((part, 1.0), None) for part in x.split(8)],
    }
    for batches in kinds.values():
        model = Net()
        update_batchnorm(model, batches)
        check(model.first, x)
    model = Net()
    update_batchnorm(model, [{"pixels": p} for p in x.split(8)], run=lambda model, batch: model(batch["pixels"]))
    check(model.first, x)


def everything(model: nn.Module) -> list:
    return [{k: v.clone() for k, v in model.state_dict().items()}, [m.training for m in model.modules()]]


def unchanged(model: nn.Module, before: list) -> bool:
    state, flags = everything(model)
    return flags == before[1] and all(torch.equal(state[k], v) for k, v in before[0].items())


@pytest.mark.parametrize(
    ("batches", "error", "says"),
    [
        ([], TrainError, "no batches"),
        ([sample(4, 3).float(), sample(1, 3).float()], TrainError, "'first' gets a batch with one value"),
        ([sample(4, 3).float() * math.nan], TrainError, "'first' is not finite"),
        ([sample(4, 3).float(), sample(4, 7).float()], RuntimeError, "7"),
    ],
)
def test_when_it_fails_everything_is_as_before(batches, error, says) -> None:
    model = Net()
    model.second.eval()
    model.drop.eval()
    before = everything(model)
    with pytest.raises(error, match=says):
        update_batchnorm(model, batches)
    assert unchanged(model, before)
    assert not model.first._forward_pre_hooks


def test_flags_come_back_and_frozen_layers_stay() -> None:
    model, x = Net(), sample(20, 3).float()
    model.first.eval()  # frozen: in evaluation in a model that trains
    first = copy.deepcopy(model.first.state_dict())
    assert update_batchnorm(model, x.split(10)) == ("second",)
    assert all(torch.equal(v, first[k]) for k, v in model.first.state_dict().items())
    assert [m.training for m in (model, model.first, model.second, model.drop)] == [True, False, True, True]
    model.eval()
    keep_in_eval(model.second)
    assert update_batchnorm(model, x.split(10)) == ("first",)
    let_train(model.second)
    assert update_batchnorm(model, x.split(10)) == ("first", "second")
    assert not any(m.training for m in model.modules())


def test_layers_that_keep_no_statistics_of_batches_are_left_alone() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3, track_running_stats=False), nn.InstanceNorm1d(3, track_running_stats=True))
    before = everything(model)
    assert update_batchnorm(model, [sample(6, 3, 4).float()]) == ()
    assert unchanged(model, before)


def test_an_accumulating_layer_keeps_its_window() -> None:
    layer = AccumulatedBatchNorm(3, micro_batches=4)
    layer(sample(8, 3).float())
    window = layer.window_mean.clone()
    update_batchnorm(layer, sample(20, 3).float().split(10))
    assert torch.equal(layer.window_mean, window)
    assert layer.micro_batch.item() == 1
