"""Lesson 2: equal units stay equal, by hand and by the library; only random hidden layers are enough."""

import pytest
import torch
from lesson_battery import Case, LessonBattery, definitions

from gainstage.lab.lessons import l02_symmetry as lesson

CASE = Case(
    "l02_symmetry",
    slider="Random part",
    name="noise",
    readout="spread_of_layer_1",
    right="one",
    wrong="all 32",
    codes=frozenset({"INI101"}),
    fixed={"start": "hidden layers random, head 0"},
)
ROUNDING = 1e-5  # of a weight, after 150 steps in float32


class TestLesson(LessonBattery):
    case = CASE


def rows() -> dict[str, dict[str, float]]:
    return {row["start"]: row for row in definitions(CASE)["compared"]}


def test_by_hand_and_by_the_library_are_the_same_and_the_check_says_so() -> None:
    defined = definitions(CASE)
    assert defined["loops_differ_by"] < 1e-6
    assert defined["by_hand_count"] == 1
    assert "INI101" in {finding.code for finding in defined["report"].findings}


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
        assert rows()[start]["different units, layer 1"] == lesson.WIDTH
        assert rows()[start]["test accuracy"] > 0.9


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_no_optimizer_parts_equal_units(activation: str, optimizer: type[torch.optim.Optimizer]) -> None:
    digits, model = lesson.lab.digits(), lesson.network("all equal", activation)
    taken = optimizer(model.parameters(), lr=0.01)  # type: ignore[call-arg]
    for _ in range(10):
        taken.zero_grad()
        torch.nn.functional.cross_entropy(model(digits.x[:64]), digits.y[:64]).backward()
        taken.step()
    assert lesson.spread(model[0].weight.detach()) < ROUNDING


def test_counting_units_finds_the_copies() -> None:
    rows = torch.eye(4)[[0, 1, 1, 2, 0]]
    assert lesson.different_units(rows) == 3
    assert lesson.different_units(rows + 1e-4 * torch.arange(5)[:, None]) == 3
    assert lesson.spread(torch.ones(3, 5)) == 0
