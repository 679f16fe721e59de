"""Lesson 16: the ambiguity identity, ways to combine by hand and by the library, and members that do not differ."""

import pytest
import torch
from lesson_battery import Case, LessonBattery, definitions

import gainstage as gs
from gainstage.lab import Judgement
from gainstage.lab.lessons import l16_ensembles as lesson

CASE = Case(
    "l16_ensembles",
    slider="Members",
    name="size",
    readout="disagreement_of_a_pair",
    right="Better than the best member",
    wrong="Between that and the best member",
    codes=frozenset({"INI103", "OUT503"}),
    fixed={"members": "each from its own seed", "answer": "log-probabilities"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_the_error_of_the_average_is_the_average_error_less_the_spread() -> None:
    defined = definitions(CASE)
    by_formula = defined["brier_members"] - defined["brier_spread"]
    assert defined["brier_average"] == pytest.approx(by_formula, abs=1e-6)
    assert defined["brier_spread"] > 0.01
    assert defined["nll_average"] < defined["nll_members"]  # Jensen


def test_averages_and_votes_by_hand_are_those_of_the_library() -> None:
    outputs = torch.randn(7, 500, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(lesson.average_by_hand(outputs), gs.train.combine(outputs).double(), atol=1e-5, rtol=0)
    for members in range(1, 8):  # with few members of four classes there are many ties
        assert torch.equal(lesson.vote_by_hand(outputs[:members]), gs.train.vote(outputs[:members]))
    assert definitions(CASE)["same_votes"]
    assert definitions(CASE)["difference_of_averages"] < 1e-6


def test_members_that_do_not_differ_gain_nothing_and_those_that_do_gain() -> None:
    same = lesson.answers("nothing", 8)
    assert float(gs.train.disagreement(same).max()) == 0
    assert lesson.right(gs.train.combine(same)) == lesson.right(same[0])
    by_source = {}
    for source in list(lesson.SOURCES)[1:]:
        outputs = lesson.answers(source, 8)
        k = len(outputs)
        by_source[source] = float(gs.train.disagreement(outputs).sum()) / (k * (k - 1))
        assert lesson.right(gs.train.combine(outputs)) > sum(lesson.right(own) for own in outputs) / k
    assert 0 < by_source["order of the batches"] < by_source["start and order"]
    assert by_source["start and order"] < by_source["start, order and sample (bagging)"]


def test_the_majority_of_independent_members() -> None:
    # 11 independent members of 0.7: the binomial tail, 0.9218
    assert definitions(CASE)["majority"] == pytest.approx(0.92178, abs=1e-5)


def test_stacking_finds_out_who_is_bad() -> None:
    alike, uneven = definitions(CASE)["stacked"]
    assert uneven["stacking"] > uneven["averaging probabilities"] + 0.02
    assert uneven["stacking"] > uneven["averaging logits"] + 0.04
    assert alike["averaging probabilities"] > uneven["averaging probabilities"]


def test_half_a_repair_is_not_enough() -> None:
    fix = definitions(CASE)["fix"]
    for choice, left, beside in (
        (CASE.fixed | {"answer": "probabilities"}, "OUT503", {"OUT518"}),  # the loss that these cannot get below
        ({"answer": "log-probabilities"}, "INI103", set()),
    ):
        graded = fix.grade(**choice)
        assert isinstance(graded, Judgement)
        assert not graded.ok
        first, *others = [finding.code for finding in graded.findings if finding.severity != "note"]
        assert first == left
        assert set(others) <= beside
