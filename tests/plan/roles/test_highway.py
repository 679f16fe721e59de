"""The gate of a highway starts nearly shut, however it is written; other gates are left alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs

Join = Callable[[Tensor, Tensor, Tensor], Tensor]
TRANSFORMS: list[Join] = [
    lambda t, h, x: t.sigmoid() * h + (1 - t.sigmoid()) * x,
    lambda t, h, x: h * t.sigmoid() + x * (1.0 - t.sigmoid()),
    lambda t, h, x: x * (-t.sigmoid() + 1) + t.sigmoid() * h,
]


class Layer(nn.Module):
    def __init__(self, join: Join) -> None:
        super().__init__()
        self.body, self.gate, self.join = nn.Linear(48, 48), nn.Linear(48, 48), join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.gate(x), self.body(x).relu(), x)


def net(join: Join, depth: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 48), *(Layer(join) for _ in range(depth)), nn.Linear(48, 10))


@pytest.mark.parametrize("join", TRANSFORMS)
def test_the_transform_gate_starts_at_minus_two(join: Join) -> None:
    plan = gs.plan(net(join), torch.randn(8, 16))
    gates = [plan[f"{layer}.gate.bias"] for layer in (1, 2, 3)]
    assert {str(a.law) for a in gates} == {"constant(-2)"}
    assert {a.role for a in gates} == {"bias of a highway gate"}
    assert plan["2.body.bias"].role == "bias"


def test_a_carry_gate_starts_at_two() -> None:
    plan = gs.plan(net(lambda t, h, x: t.sigmoid() * x + (1 - t.sigmoid()) * h), torch.randn(8, 16))
    assert str(plan["2.gate.bias"].law) == "constant(2)"


@pytest.mark.parametrize("join", [lambda t, h, x: t.sigmoid() * h, lambda t, h, x: t.tanh() * h + x])
def test_other_gates_start_at_zero(join: Join) -> None:
    assert str(gs.plan(net(join), torch.randn(8, 16))["2.gate.bias"].law) == "zeros"


def test_levels_are_those_of_a_gate_that_is_nearly_shut() -> None:
    model, x = net(TRANSFORMS[0], depth=6), torch.randn(256, 16)
    plan, tape = gs.initialize(model, x), gs.record(model, x)
    for layer in range(1, 7):
        measured = tape[f"{layer}.gate"].forward.mean_square
        assert plan[f"{layer}.gate.weight"].level == pytest.approx(measured, rel=0.3)
