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
    shares = [line[56:63].strip() for line in lines[2:-1]]
    assert not shares[0].startswith("!")
    assert shares[-1].startswith("!")
    assert "41 layers, 21 with weights, 16 samples" in lines[-1]


def test_a_healthy_network_has_no_mark() -> None:
    model = deep(3)
    gs.initialize(model, torch.randn(16, 32))
    assert "!" not in gs.record(model, torch.randn(16, 32)).table()


def test_long_names_and_shapes_are_shortened() -> None:
    model = nn.ModuleDict({"a_very_long_name_" * 4: nn.Linear(4, 4)})
    model.forward = lambda x: model["a_very_long_name_" * 4](x)
    text = gs.record(model, torch.randn(2, 3, 3, 3, 3, 3, 3, 4)).table()
    assert max(map(len, text.splitlines())) <= 80


def test_the_plot_shows_both_directions_on_a_logarithmic_axis() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    ax = gs.record(deep(5), torch.randn(16, 32)).plot()
    assert [line.get_label() for line in ax.get_lines()] == ["forward", "forward, between samples", "gradient"]
    assert ax.get_yscale() == "log"
    assert len(ax.get_lines()[0].get_xdata()) == 11


def test_models_without_layers() -> None:
    assert "no layers" in gs.record(nn.Identity(), torch.randn(2, 2, requires_grad=True), backward=False).table()
