"""The plan reads what is there: rows without a gradient, kernels without a middle, uses that are not the first."""

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(20, 16, padding_idx=3), nn.Linear(16, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.table(ids).mean(1))


def test_the_row_of_padding_stays_zero() -> None:
    model, ids = Words(), torch.randint(0, 20, (32, 7))
    plan = gs.initialize(model, ids, seed=2)
    whole = gs.init.fill_(torch.empty(20, 16), gs.init.normal(), seed=2, name="table.weight")
    assert not model.table.weight[3].any()
    assert torch.equal(model.table.weight[4:], whole[4:])
    assert "row of padding" in plan["table.weight"].reason
    assert plan.audit(model) == ()
    scope: dict[str, object] = {}
    exec(plan.to_python(), scope)
    other = Words()
    nn.init.ones_(other.table.weight)
    scope["initialize"](other)
    assert not other.table.weight[3].any()
    assert bool(other.table.weight[4].any())


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_kernel_starts_at_the_tap_that_reads_where_it_writes(size: int) -> None:
    """torch's "same" puts the odd place behind: tap k // 2 of an even kernel would move the map at every layer."""
    layers = [part for _ in range(8) for part in (nn.Conv2d(8, 8, size, padding="same"), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 4))
    plan = gs.initialize(model, torch.randn(16, 8, 8, 8))
    assert "delta_orthogonal" in str(plan["4.weight"].law)
    taps = model[4].weight.detach().abs().sum((0, 1)).nonzero().tolist()
    assert taps == [[(size - 1) // 2] * 2]


def test_a_head_at_every_step_is_calibrated_over_all_of_them() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = nn.GRUCell(2, 24), nn.Linear(24, 1)

        def forward(self, x: Tensor) -> Tensor:
            h, seen = torch.zeros(len(x), 24), []
            for step in x.unbind(1):
                h = self.cell(step, h)
                seen.append(self.head(h))
            return torch.cat(seen, 1)

    torch.manual_seed(0)
    model, x = Steps(), torch.randn(64, 30, 2)
    plan = gs.initialize(model, x, calibrate=True)
    assert float(model(x).detach().square().mean()) == pytest.approx(plan["head.weight"].level, rel=0.05)


@pytest.mark.parametrize("factor", [0.1, 1.0, 64**0.5])
def test_the_factor_behind_a_look_up_counts(factor: float) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.mlp, self.head = nn.Embedding(500, 64), nn.Linear(64, 64), nn.Linear(64, 500)
            self.register_buffer("places", torch.randn(12, 64))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            h = nn.functional.dropout(factor * self.tokens(ids), 0.0) + self.places
            return self.head(torch.relu(self.mlp(h)))

    model, ids = Scaled(), torch.arange(96).view(8, 12)
    plan = gs.initialize(model, ids)
    level = float((factor * model.tokens(ids)).detach().square().mean())
    assert level == pytest.approx(1.0, rel=0.1)
    assert ("times the" in plan["tokens.weight"].reason) == (factor != 1.0)
