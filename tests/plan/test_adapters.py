"""A trained branch beside frozen weights starts as nothing: its last weight is 0, its first is drawn."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gainstage as gs
from gainstage import init


class Adapted(nn.Module):
    """W x + B A x with a frozen W."""

    def __init__(self, width: int, rank: int = 4) -> None:
        super().__init__()
        self.base, self.down, self.up = nn.Linear(width, width), nn.Linear(width, rank), nn.Linear(rank, width)
        self.base.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


def adapters() -> nn.Sequential:
    return nn.Sequential(Adapted(32), nn.GELU(), Adapted(32), nn.GELU(), Adapted(32))


class Controlled(nn.Module):
    """A frozen trunk of convolutions, and a trained copy of it that is added behind every one."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.trunk, self.copy = (
            nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3)) for _ in range(2)
        )
        self.ends = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.trunk.requires_grad_(False)

    def forward(self, x: Tensor, hint: Tensor) -> Tensor:
        y = x + hint
        for trunk, copy, end in zip(self.trunk, self.copy, self.ends, strict=True):
            x, y = F.silu(trunk(x)), F.silu(copy(y))
            x = x + end(y)
        return x


@pytest.mark.parametrize("zero", [True, False])
def test_adapters_leave_a_frozen_network_as_it_is(zero: bool) -> None:
    torch.manual_seed(0)
    model, x = adapters(), torch.randn(16, 32)
    for layer in model[::2]:
        if zero:
            nn.init.zeros_(layer.up.weight)
        nn.init.zeros_(layer.up.bias)
    plan = gs.initialize(model, x)
    with torch.no_grad():
        alone = x
        for index, layer in enumerate(model):
            alone = layer(alone) if index % 2 else layer.base(alone)
        assert torch.equal(model(x), alone)
    assert all(float(layer.down.weight.detach().std()) > 0.01 for layer in model[::2])
    if not zero:
        assert plan["2.up.weight"].law == init.zeros()
        assert plan["2.up.weight"].role == "last weight of an adapter"


def test_where_the_first_weight_is_the_one_at_zero_the_last_is_drawn() -> None:
    torch.manual_seed(0)
    model, x = adapters(), torch.randn(16, 32)
    for layer in model[::2]:
        nn.init.zeros_(layer.down.weight)
        nn.init.zeros_(layer.down.bias)
        nn.init.zeros_(layer.up.bias)
    gs.initialize(model, x)
    for layer in model[::2]:
        assert not bool(layer.down.weight.any())
        assert float(layer.up.weight.detach().std()) > 0.01


def test_zero_convolutions_stay() -> None:
    torch.manual_seed(0)
    model, inputs = Controlled(), (torch.randn(4, 8, 8, 8), torch.randn(4, 8, 8, 8))
    for end in model.ends:
        nn.init.zeros_(end.weight)
        nn.init.zeros_(end.bias)
    before = model(*inputs).detach()
    gs.initialize(model, inputs)
    assert torch.equal(model(*inputs), before)


def test_a_branch_past_which_nothing_frozen_leads_keeps_its_share() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.up, self.down = nn.Linear(32, 32), nn.Linear(32, 64), nn.Linear(64, 32)
            self.first.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            return x + self.down(F.relu(self.up(x)))

    law = gs.plan(nn.Sequential(Block(), nn.Linear(32, 4)), torch.randn(16, 32))["0.down.weight"].law
    assert law not in (None, init.zeros())
