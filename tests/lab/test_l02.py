"""Lesson 2: equal units stay one, by hand and by the library, and only random hidden weights are enough."""

import pytest
import torch
from document_battery import at_first, names

from gainstage.lab import digits, networks

KEY = "l02_symmetry"
ROUNDING = 1e-5


def rows() -> dict[str, dict[str, float]]:
    return {row["start"]: row for row in names(KEY)["compared"]}


def test_by_hand_and_by_the_library_are_the_same_and_the_check_says_so() -> None:
    readout, found = at_first(KEY, "twins")
    assert 'data-readout="different_units_by_hand_after_20_steps">1<' in readout.static
    assert 'data-readout="different_units_by_gs_train_fit">1<' in readout.static
    assert 'data-code="INI101"' in found.static


def test_equal_units_stay_one_and_zeros_learn_nothing() -> None:
    for start in ("all 0", "all equal"):
        assert rows()[start]["different units, layer 1"] == rows()[start]["different units, layer 2"] == 1
    assert rows()["all 0"]["test accuracy"] < 0.15


def test_a_random_head_parts_the_last_hidden_layer_only() -> None:
    assert rows()["all equal, random head"]["different units, layer 1"] == 1
    assert rows()["all equal, random head"]["different units, layer 2"] > 10


def test_what_breaks_the_symmetry_and_what_is_enough() -> None:
    for start in ("all equal, random biases", "all equal, with dropout"):
        assert rows()[start]["different units, layer 1"] > 1
        assert rows()[start]["test accuracy"] < 0.5
    for start in ("random, head 0", "all random"):
        assert rows()[start]["different units, layer 1"] == networks.TWO_WIDTH
        assert rows()[start]["test accuracy"] > 0.9


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_no_optimizer_parts_equal_units(activation: str, optimizer: type[torch.optim.Optimizer]) -> None:
    data, model = digits(), networks.two_hidden_layers("all equal", activation)
    taken = optimizer(model.parameters(), lr=0.01)  # type: ignore[call-arg]
    for _ in range(10):
        taken.zero_grad()
        torch.nn.functional.cross_entropy(model(data.x[:64]), data.y[:64]).backward()
        taken.step()
    assert names(KEY)["spread"](model[0].weight.detach()) < ROUNDING


def test_counting_units_finds_the_copies() -> None:
    different_units, spread = names(KEY)["different_units"], names(KEY)["spread"]
    rows = torch.eye(4)[[0, 1, 1, 2, 0]]
    assert different_units(rows) == 3
    assert different_units(rows + 1e-4 * torch.arange(5)[:, None]) == 3
    assert spread(torch.ones(3, 5)) == 0
