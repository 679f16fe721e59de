"""Lesson 11: which entries an output depends on, what each member forgets, and what that costs on two tasks."""

import pytest
import torch
from lesson_battery import Case, LessonBattery, definitions

from gainstage.lab.lessons import l11_family as page

CASE = Case(
    "l11_family",
    slider="Groups (of GroupNorm)",
    name="groups",
    readout="inputs_that_count",
    right="Like guessing: under 60 %",
    wrong="60 to 90 %",
    codes=frozenset({"NRM402"}),
    fixed={"norm": "GroupNorm(8, 64)"},
)
WITHIN_A_SAMPLE = ["LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "AdaNorm"]


class TestLesson(LessonBattery):
    case = CASE


@pytest.mark.parametrize("at", [(0, 0, 0), (1, 1, 2), (2, 3, 4)])
def test_the_cells_of_the_cube_are_the_sets_of_the_definitions(at: tuple[int, int, int]) -> None:
    n, c, i = at
    whole = torch.zeros(page.N, page.C, page.L, dtype=torch.bool)

    def block(*index: int | slice) -> torch.Tensor:
        made = whole.clone()
        made[index] = True
        return made

    every, half = slice(None), slice(c // 2 * 2, c // 2 * 2 + 2)
    expected = {
        "BatchNorm": block(every, c, every),
        "LayerNorm": block(n, every, i),
        "RMSNorm": block(n, every, i),
        "AdaNorm": block(n, every, i),
        "GroupNorm": block(n, half, every),
        "InstanceNorm": block(n, c, every),
    }
    for name, cells in expected.items():
        assert page.influence(page.member(name), at).equal(cells), name
    assert page.influence(page.member("GroupNorm", groups=1), at).equal(block(n))
    assert page.influence(page.member("GroupNorm", groups=page.C), at).equal(expected["InstanceNorm"])
    exchanged = page.influence(page.member("CrossNorm"), at)
    assert exchanged[:, c].all(1).sum() == 2  # its own sample and another one
    assert exchanged.sum() == 2 * page.L
    for name in ("BatchNorm", "CrossNorm"):  # in evaluation each output has its own input alone
        assert page.influence(page.member(name), at, training=False).equal(block(*at))


def test_by_hand_is_the_library() -> None:
    rows = definitions(CASE)["by_hand"]
    assert [row["layer"] for row in rows] == list(page.FAMILY)
    for row in rows:
        assert row["largest difference"] < 5e-5


def test_what_is_averaged_over_is_forgotten() -> None:
    rows = {row["layer"]: row for row in definitions(CASE)["comparison"]}
    for name in WITHIN_A_SAMPLE:
        assert rows[name]["forgets the scale of a sample"]
        assert rows[name]["forgets the level of a sample"] == (name != "RMSNorm")
        assert rows[name]["the same in evaluation"]
    assert {name for name, row in rows.items() if row["forgets the scale of a channel"]} == {
        "BatchNorm",
        "InstanceNorm",
    }
    assert not rows["BatchNorm"]["forgets the scale of a sample"]
    assert (rows["BatchNorm"]["learned"], rows["BatchNorm"]["stored"]) == (2, 2)
    assert rows["RMSNorm"]["learned"] == 1
    for name in ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm"):
        assert rows[name]["mean square"] == pytest.approx(1, abs=1e-4)
    assert rows["AdaNorm"]["mean"] == pytest.approx(-0.1, abs=1e-4)  # -k E[y²], exactly, as E[y] = 0
    assert rows["CrossNorm"]["mean square"] == pytest.approx(2**2 + 3**2, rel=0.02)  # as it came


def test_a_contrast_that_is_forgotten_cannot_be_learned_and_does_not_disturb() -> None:
    is_class, is_nuisance = definitions(CASE)["TASKS"]
    for row in definitions(CASE)["two_tasks"]:
        within = row["normalization"] in WITHIN_A_SAMPLE
        if row["normalization"] in ("none", "BatchNorm"):
            assert row[is_class] > 0.95
            assert row[is_nuisance] < 0.9
        else:
            assert row[is_class] < 0.6
        if within:
            assert row[is_nuisance] > 0.9
