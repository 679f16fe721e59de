"""Calibration is LSUV in one pass: every weight, in execution order, writes the level that is planned."""

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs


def deep_cnn() -> nn.Module:
    layers: list[nn.Module] = []
    for i in range(5):
        layers += [nn.Conv2d(3 if i == 0 else 7, 7, 3, padding=1), nn.Softplus()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(7 * 25, 10))


@pytest.mark.parametrize("scheme", ["he_normal", "orthogonal", "torch"])
def test_every_weight_writes_a_level_of_one(scheme: str) -> None:
    model = deep_cnn()
    x = torch.randn(32, 3, 5, 5)
    gs.initialize(model, x, scheme=scheme, calibrate=True)
    tape = gs.record(model, x)
    for site in tape:
        if site.op in ("conv2d", "linear"):
            assert site.forward.mean_square == pytest.approx(1.0, rel=0.02 if scheme != "torch" else 0.2)


def test_auto_is_calibrated_to_its_own_levels() -> None:
    model = deep_cnn()
    x = torch.randn(32, 3, 5, 5)
    plan = gs.initialize(model, x, calibrate=True)
    tape = gs.record(model, x)
    for site in tape:
        if site.op in ("conv2d", "linear"):
            assert site.forward.mean_square == pytest.approx(plan[f"{site.path}.weight"].level, rel=0.01)


def test_the_calibrated_plan_gives_the_same_weights_again() -> None:
    one, two = deep_cnn(), deep_cnn()
    x = torch.randn(8, 3, 5, 5)
    plan = gs.initialize(one, x, seed=5, calibrate=True)
    gs.Plan.from_json(plan.to_json()).apply(two, seed=5)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "calibrated" in plan["0.weight"].reason


def test_one_forward_pass_beside_the_plans_and_shared_weights_once() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.head = nn.Linear(32, 32), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> Tensor:
            runs.append(1)
            for _ in range(8):
                x = torch.relu(self.fc(x))
            return self.head(x)

    runs: list[int] = []
    model = Shared()
    x = torch.randn(16, 32)
    gs.initialize(model, x, scheme="he_normal", calibrate=True)
    assert len(runs) == 2
    tape = gs.record(model, x)
    assert tape["fc/linear#0"].forward.mean_square == pytest.approx(1.0, rel=0.01)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_forward_pass_that_fails_leaves_the_model_as_it_was() -> None:
    class Once(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            passes.append(1)
            if len(passes) > 1:
                raise RuntimeError("only once")
            return self.fc(x)

    passes: list[int] = []
    model = Once()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(gs.GainstageError, match="only once"):
        gs.initialize(model, torch.randn(2, 4), calibrate=True)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
