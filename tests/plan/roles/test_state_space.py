"""The step of a state-space model starts around 0.01, and what stands behind it is planned with that."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs


class Scan(nn.Module):
    """h' = exp(-a dt) h + dt b x, read by c, with dt = softplus(W x + b)."""

    def __init__(self, decays: bool = True) -> None:
        super().__init__()
        self.decays = decays
        self.step, self.read, self.rate = nn.Linear(32, 64), nn.Linear(32, 64), nn.Parameter(torch.rand(64) + 1)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        dt = F.softplus(self.step(x))
        kept = torch.exp(-self.rate * dt) if self.decays else self.rate * dt
        h = torch.zeros_like(kept[:, 0])
        for t in range(x.shape[1]):
            h = kept[:, t] * h + dt[:, t] * self.read(x)[:, t]
        return self.out(h)


def test_the_step_starts_between_a_thousandth_and_a_tenth() -> None:
    torch.manual_seed(0)
    model, x = Scan(), torch.randn(64, 6, 32)
    plan = gs.initialize(model, x)
    assert plan["step.weight"].role == "weight of a state-space step"
    assert plan["step.bias"].role == "bias of a state-space step"
    steps = F.softplus(model.step(x)).flatten()
    assert float(steps.median()) == pytest.approx(0.01, rel=0.1)
    assert float(((steps > 0.001) & (steps < 0.1)).double().mean()) > 0.95


def test_the_level_behind_the_step_counts_its_bias() -> None:
    torch.manual_seed(0)
    model, x = Scan(), torch.randn(64, 6, 32)
    plan = gs.initialize(model, x)
    tape = gs.record(model, x)
    assert plan["step.weight"].level == pytest.approx(1 + 4.6**2)
    assert tape["step"].forward.mean_square == pytest.approx(plan["step.weight"].level, rel=0.1)


def test_a_softplus_that_is_no_step_keeps_its_role() -> None:
    plan = gs.plan(Scan(decays=False), torch.randn(8, 6, 32))
    assert plan["step.weight"].role == "gate weight of a gated unit"
    assert plan["step.bias"].role == "bias"
