import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import gainstage as gs
from gainstage.train import TrainError, fit, layerwise_rates, transfer, unfreeze


def pretrained() -> nn.Sequential:
    torch.manual_seed(0)
    body = nn.Sequential(
        nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, bias=False), nn.BatchNorm2d(8)
    )
    model = nn.Sequential(body, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, 10))
    for _ in range(20):
        model(torch.randn(16, 1, 8, 8) * 3 + 1)  # running statistics that are not those of a new layer
    return model


@pytest.fixture
def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(32, 1, 8, 8, generator=generator), torch.arange(32) % 10


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def train(model: nn.Module, images) -> None:
    adam = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    fit(model, [images] * 3, loss=cross_entropy, optimizer=adam)


def test_only_the_head_changes_and_the_frozen_part_gives_what_it_gave(images) -> None:
    model = pretrained()
    before, features = state(model), model[0].eval()(images[0])
    model.train()
    done = transfer(model, images[0])
    assert changed(model, before) == set(done.trainable) == {"5.weight", "5.bias"}
    assert set(done.trainable) | set(done.frozen) == {name for name, _ in model.named_parameters()}
    assert done.kept_in_eval == ("0.1", "0.4")
    train(model, images)
    assert changed(model, before) == {"5.weight", "5.bias"}
    assert torch.equal(model.train()[0](images[0]), features)
    assert model[4].train()(torch.ones(1000)).eq(0).any()  # dropout is not held


def test_the_head_starts_at_chance_whatever_the_features_are(images) -> None:
    """Also where the frozen part gives values far from 1, which a plan for new weights would not expect."""
    model = pretrained()
    with torch.no_grad():
        model[0][4].weight.mul_(100)
    done = transfer(model, images[0])
    loss = cross_entropy(model(images[0]), images[1]).item()
    assert loss == pytest.approx(math.log(10), rel=0.1)
    assert "output head" in done.trainable["5.weight"]


def test_it_is_the_plans_draw_for_the_seed(images) -> None:
    model, other = pretrained(), pretrained()
    done = transfer(model, images[0], seed=7)
    done.plan.apply(other, seed=7)
    assert torch.equal(model[5].weight, other[5].weight)


def test_named_layers_train_with_their_statistics(images) -> None:
    model = pretrained()
    before = state(model)
    done = transfer(model, images[0], head=["0.3", "0.4", "5"])
    assert set(done.trainable) == {"0.3.weight", "0.4.weight", "0.4.bias", "5.weight", "5.bias"}
    assert done.kept_in_eval == ("0.1",)
    train(model, images)
    assert {"0.4.running_mean", "0.4.running_var", "0.3.weight"} <= changed(model, before)
    assert not {name for name in changed(model, before) if name.startswith("0.1")}


def test_it_survives_copying_pickling_and_compiling(images) -> None:
    model = pretrained()
    transfer(model, images[0])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.compile(model, backend="eager")):
        before = state(twin)
        twin.train()(images[0])
        assert not changed(twin, before)
    fresh = pretrained()
    fresh.load_state_dict(model.state_dict())  # the keys are those of the model


def test_unfreezing_lets_a_part_move_again(images) -> None:
    model = pretrained()
    transfer(model, images[0])
    before = state(model)
    unfreeze(model, ["0.3", "0.4"])
    train(model, images)
    assert {"0.3.weight", "0.4.weight", "0.4.running_mean"} <= changed(model, before)
    assert not {name for name in changed(model, before) if name.startswith(("0.0", "0.1"))}
    unfreeze(model)
    train(model, images)
    assert {"0.0.weight", "0.1.running_mean"} <= changed(model, before)


def test_rates_fall_from_the_last_layer_to_the_first(images) -> None:
    model = pretrained()
    plan = gs.plan(model, images[0])
    groups = layerwise_rates(model, plan, 1.0, decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    found = [([names[id(p)] for p in group["params"]], round(group["lr"], 6)) for group in groups]
    assert found == [
        (["0.0.weight", "0.1.weight", "0.1.bias"], 0.01),
        (["0.3.weight", "0.4.weight", "0.4.bias"], 0.1),
        (["5.weight", "5.bias"], 1.0),
    ]
    torch.optim.SGD(groups)
    transfer(model, images[0])
    assert [group["lr"] for group in layerwise_rates(model, plan, 1.0)] == [1.0]
    with pytest.raises(TrainError, match="at most 1"):
        layerwise_rates(model, plan, 1.0, decay=2)
    model.requires_grad_(False)
    with pytest.raises(TrainError, match="unfreeze"):
        layerwise_rates(model, plan, 1.0)


class NoHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.spare = nn.BatchNorm1d(4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x)


@pytest.mark.parametrize(
    ("model", "example", "head", "says"),
    [
        (NoHead(), torch.randn(8, 4), None, 'head="fc"'),
        (NoHead(), torch.randn(8, 4), "fc", "'fc'.*'norm', 'spare'"),
        (NoHead(), torch.randn(8, 4), "spare", "'spare.weight' cannot be trained"),
        (NoHead(), torch.randn(8, 5), "norm", "5"),
    ],
)
def test_what_cannot_be_done_leaves_the_model_as_it_was(model, example, head, says) -> None:
    model.norm.bias.requires_grad_(False)
    before = state(model)
    with pytest.raises(gs.GainstageError, match=says):
        transfer(model, example, head=head)
    assert not changed(model, before)
    assert [p.requires_grad for p in model.parameters()] == [True, False, True, True]
    assert not model.norm._forward_pre_hooks
