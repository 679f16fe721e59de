"""Lesson 4: Xavier's two definitions, its two distributions, and what the compromise costs."""

from math import sqrt
from typing import Any

import pytest
from lesson_battery import Case, LessonBattery, app_of, definitions

from gainstage.lab.lessons import l04_xavier as lesson

CASE = Case(
    "l04_xavier",
    slider="Gain (factor on the weights)",
    name="gain",
    readout="signal_last_over_first",
    right="Both fall below a tenth",
    wrong="Both keep their level within a factor of 3",
    codes=frozenset({"FWD202"}),
    fixed={"law": "xavier_uniform"},
)
AT_START = {
    "law": "Xavier, normal: 2/(in + out)",
    "activation": "linear",
    "factor": 1,
    "depth": 20,
    "first": 128,
    "second": 128,
    "seed": 0,
}


class TestLesson(LessonBattery):
    case = CASE


def run(**changes: Any) -> Any:
    """What the lesson defines with some widgets set."""
    values = AT_START | changes
    return app_of(CASE).run(defs={name: type("Widget", (), {"value": value}) for name, value in values.items()})[1]


def test_by_hand_and_by_the_library_are_the_same() -> None:
    for row in definitions(CASE)["drawn"]:
        assert row["by hand − library"] < 1e-6
        # the deviation of 8192 numbers scatters by 0.8 %; 5 % is beyond 6 standard deviations
        assert row["std, measured"] == pytest.approx(row["√(2/(n+m))"], rel=0.05)
    uniform, normal = definitions(CASE)["drawn"]
    assert uniform["largest weight"] <= uniform["√(6/(n+m))"] < normal["largest weight"]


def test_the_two_definitions_differ_by_the_root_of_the_average_fan_over_the_fan_in() -> None:
    rows = definitions(CASE)["definitions"]
    for row in rows:
        assert row["ratio"] == pytest.approx(row["√((n+m)/2n)"], rel=1e-5)
    assert rows[0]["ratio"] == pytest.approx(1)


def test_the_compromise_loses_in_both_directions_and_the_one_sided_laws_cancel() -> None:
    defined = definitions(CASE)
    xavier, forward, backward = defined["compromise"]
    assert defined["per_pair"] == pytest.approx(4 * 32 * 256 / 288**2)
    expected = defined["per_pair"] ** (defined["DEPTH"] / 4)
    assert xavier["signal"] == pytest.approx(expected, rel=0.5)
    assert xavier["gradient"] == pytest.approx(expected, rel=0.5)
    for row in (forward, backward):
        assert 0.5 < row["signal"] < 2
        assert 0.5 < row["gradient"] < 2


def test_theory_follows_every_law_layer_by_layer() -> None:
    for law, (name, kept) in zip(lesson.LAWS, (("forward", False),) * 2 + (("forward", True),) * 2, strict=True):
        defined = run(law=law, first=32, second=256)
        assert defined["theory"] == pytest.approx(defined[name], rel=0.5)
        assert (0.3 < defined["forward"][-1] / defined["forward"][1] < 3) == kept


def test_tanh_and_sigmoid_settle_where_theory_says() -> None:
    rows = {(row["activation"], row["gain"]): row for row in definitions(CASE)["settled"]}
    tanh, sigmoid = rows["tanh", "1"], rows["sigmoid", "1"]
    assert tanh["level it settles at"] == pytest.approx(0, abs=1e-6)
    assert tanh["gradient, factor a layer"] == pytest.approx(1)
    for name in ("tanh", "sigmoid"):
        assert rows[name, "exact, gs.gain"]["level it settles at"] == pytest.approx(1)
    assert sigmoid["gradient, factor a layer"] < 1 / 16  # its slope is at most 1/4
    assert sigmoid["constant part of φ, share"] > 0.9
    assert definitions(CASE)["alike"] == 1


def test_sigmoid_makes_samples_alike_at_its_own_gain() -> None:
    last = run(activation="sigmoid", factor=lesson.gs.gain("sigmoid"))["last"]
    assert sqrt(last.variance_between / last.mean_square) < 1e-3
    last = run(activation="tanh")["last"]
    assert last.variance_between / last.mean_square > 0.9
