"""The tape as text and as a drawing."""

import pytest
import torch
from torch import nn

import gainstage as gs


def deep(depth: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*[part for _ in range(depth) for part in (nn.Linear(32, 32), nn.ReLU())], nn.Linear(32, 4))


def test_a_collapsing_network_is_marked_and_fits_80_columns() -> None:
    text = gs.record(deep(20), torch.randn(16, 32)).table()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    shares = [line.split()[-4] for line in lines[2:-1]]
    assert not shares[0].startswith("!")
    assert shares[-1].startswith("!")
    assert "41 layers, 21 with weights, 16 samples" in lines[-1]


def test_a_healthy_network_has_no_mark() -> None:
    model = deep(3)
    gs.initialize(model, torch.randn(16, 32))
    assert "!" not in gs.record(model, torch.randn(16, 32)).table()


def test_long_names_and_shapes_go_on_below_or_stand_in_one_line() -> None:
    name = "a_very_long_name_" * 4
    model = nn.ModuleDict({name: nn.Linear(4, 4)})
    model.forward = lambda x: model[name](x)
    tape = gs.record(model, torch.randn(2, 3, 3, 3, 3, 3, 3, 4))
    assert max(map(len, tape.table().splitlines())) <= 80
    assert name in "".join(line[3:].split("  ")[0] for line in tape.table().splitlines()[2:-1])
    (row,) = tape.table(width=None).splitlines()[2:-1]
    assert row.split()[1:4] == [name, "linear", "2x3x3x3x3x3x3x4"]


def test_the_plot_shows_both_directions_on_a_logarithmic_axis() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    ax = gs.record(deep(5), torch.randn(16, 32)).plot()
    assert [line.get_label() for line in ax.get_lines()] == ["forward", "forward, between samples", "gradient"]
    assert ax.get_yscale() == "log"
    assert len(ax.get_lines()[0].get_xdata()) == 11


def test_models_without_layers() -> None:
    assert "no layers" in gs.record(nn.Identity(), torch.randn(2, 2, requires_grad=True), backward=False).table()
