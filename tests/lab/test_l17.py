"""Lesson 17: intervals by hand and by the library, the comparison's shape, and a chooser that follows measurements."""

import math

import pytest
from lesson_battery import Case, LessonBattery, app_of, definitions

from gainstage.lab import Judgement
from gainstage.lab.lessons import l17_comparison as lesson

CASE = Case(
    "l17_comparison",
    slider="Seeds that are looked at",
    name="seeds",
    readout="half_width_of_the_widest_interval",
    right="About 7 times",
    wrong="About 1.6 times: the root of 5 / 2",
    codes=frozenset({"NRM401"}),
    fixed={"samples": "64"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_the_interval_by_hand_is_that_of_the_library() -> None:
    found = definitions(CASE)["by_library"]
    assert definitions(CASE)["by_hand"] == pytest.approx((found.difference, found.low, found.high), rel=1e-9)


def test_student_t_against_its_closed_forms() -> None:
    # t with one degree of freedom is Cauchy: its quantile is tan(pi (p - 1/2)); with two it is closed too
    q = 0.975
    assert lesson.half_width(2) == pytest.approx(math.tan(math.pi * (q - 0.5)) / math.sqrt(2), rel=1e-6)
    assert lesson.half_width(3) == pytest.approx((2 * q - 1) / math.sqrt(2 * q * (1 - q)) / math.sqrt(3), rel=1e-6)


def test_every_technique_is_an_arm_and_the_start_matters_most() -> None:
    results = definitions(CASE)["results"]
    assert len(results.arms) == 12
    assert len(results.seeds) == 5
    by_factor = {verdict.factor: verdict for verdict in results.verdicts()}
    assert set(by_factor) >= {"init", "norm", "dropout", "weight_decay", "mixup", "label_smoothing"}
    assert by_factor["init"].answer == "matters"
    small, baseline = results.summary("init normal(std=0.01)"), results.summary("baseline")
    assert baseline.mean > 0.75
    assert small.mean < 0.5
    assert all(arm.lr in {rate for rate, _ in arm.tried} for arm in results.arms)


def test_a_margin_that_nothing_exceeds_leaves_nothing_that_matters() -> None:
    seen = lesson.first_seeds(definitions(CASE)["results"], 3, 1.0)
    assert len(seen.seeds) == 3
    assert all(verdict.answer != "matters" for verdict in seen.verdicts())


def test_the_chooser_follows_what_it_measures() -> None:
    kinds = definitions(CASE)["ARCHITECTURES"]

    def rows(architecture: str, batch: int) -> dict[str, dict]:
        found = lesson.norm_candidates(architecture, "relu", batch, kinds[architecture])
        assert sum(row["chosen"] for row in found) == 1
        return {row["norm"]: row for row in found}

    two, many = rows("convolutional", 2), rows("convolutional", 64)
    assert two["batch"]["company"] > many["batch"]["company"] > 0
    assert two["group"]["company"] == pytest.approx(0, abs=1e-5)
    assert two["group"]["chosen"]
    assert many["batch"]["chosen"]
    assert not many["none"]["forgives"]
    assert rows("fully connected", 2)["batch"]["check"] == "NRM401"
    assert rows("transformer", 2)["layer"]["chosen"]


@pytest.mark.parametrize("architecture", ["fully connected", "residual", "transformer", "recurrent (LSTM)"])
def test_the_chooser_answers_for_every_architecture(architecture: str) -> None:
    values = {"architecture": architecture, "activation": "gelu", "batch": 8}
    fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
    _, defined = app_of(CASE).run(defs=fakes | {"compared": lambda *_, **__: definitions(CASE)["results"]})
    assert defined["start_rows"]
    assert defined["chosen_norm"] in {"none", "batch", "layer", "group", "rms"}
    assert defined["chosen_regularizer"] in {row["regularizer"] for row in defined["regularizer_rows"]}


def test_the_small_start_needs_its_normalization() -> None:
    graded = definitions(CASE)["fix"].grade(norm="none")
    assert isinstance(graded, Judgement)
    assert "INI104" in {finding.code for finding in graded.findings}
