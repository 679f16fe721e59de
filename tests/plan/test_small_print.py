"""Facts that no other test of this room would miss: each was a one-line fault that survived (benchmarks/mutants.py)."""

import pytest
import torch
from torch import Tensor, nn

import gainstage as gs
from gainstage import init


@pytest.mark.parametrize(("cell", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1), (nn.LSTMCell, 4), (nn.GRUCell, 3)])
def test_every_gate_of_a_recurrent_weight_is_orthogonal_and_reads_a_level_of_one(cell: type, gates: int) -> None:
    model = cell(8, 12)
    gs.initialize(model, torch.randn(5, 8) if "Cell" in cell.__name__ else torch.randn(5, 4, 8))
    for name, weight in model.named_parameters():
        assert "weight" not in name or weight.shape[0] == 12 * gates
        if name.startswith("weight_hh"):
            for gate in weight.chunk(gates):
                torch.testing.assert_close(gate @ gate.T, torch.eye(12), atol=1e-5, rtol=0)


def test_a_chain_ends_where_a_second_weight_reads_it() -> None:
    """Mirrored units pass their signal to a weight that knows of the mirror, and to no other."""

    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(10))
            self.left, self.right = nn.Linear(32, 4), nn.Linear(32, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            for layer in self.layers:
                x = torch.relu(layer(x))
            return self.left(x), self.right(x)

    plan = gs.plan(Fork(), torch.randn(64, 32))
    assert plan["layers.5.weight"].law == init.mirrored()
    assert plan["layers.9.weight"].law == init.mirrored(rows=False)
    for head in ("left", "right"):
        assert "mirrored" not in str(plan[f"{head}.weight"].law)


def test_what_blocks_repeat_is_one_row_with_its_count() -> None:
    blocks = [nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16), nn.GELU()) for _ in range(5)]
    plan = gs.plan(nn.Sequential(*blocks, nn.Linear(16, 3)), torch.randn(8, 16))
    rows = plan.table(None).splitlines()
    (row,) = (r for r in rows if r.startswith("*.1.weight ") and "gelu" in r)
    assert row.split()[-1] == "5"
    assert any(r.startswith("5.weight") and "output head" in r for r in rows)
    every = plan.table(None, every=True).splitlines()
    assert sum(r.startswith(f"{i}.1.weight") for r in every for i in range(5)) == 5
