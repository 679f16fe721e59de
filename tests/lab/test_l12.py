"""Lesson 12: gradients by hand and by the library, their factor a layer, and what a ratio between layers misses."""

from math import sqrt

import pytest
from lesson_battery import Case, LessonBattery, app_of, definitions

CASE = Case(
    "l12_gradients",
    slider="Weight scale (std × √width)",
    name="scale",
    readout="gradient_first_over_last",
    right="Between 0.001 and 1000: it stays silent",
    wrong="Far less than 0.001: it raises the alarm",
    codes=frozenset({"BWD302"}),
    fixed={"law": "Xavier"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_by_hand_and_by_the_library() -> None:
    assert definitions(CASE)["gradients_differ_by"] < 1e-4
    assert definitions(CASE)["weights_differ_by"] < 1e-4


def test_theory_and_measurement_of_a_linear_chain() -> None:
    values = {"depth": 10, "scale": 0.5, "activation": "linear"}
    fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
    _, defined = app_of(CASE).run(defs=fakes)
    # from layer 9 to layer 1 the level halves at every layer; a random draw of width 128 is near that
    assert defined["backward"][0] / defined["backward"][8] == pytest.approx(0.5**8, rel=0.4)
    assert defined["backward_by_theory"][0] == pytest.approx(defined["backward"][0], rel=0.4)


def test_relu_keeps_its_gradient_at_root_two_and_nowhere_else() -> None:
    far = {
        row["weight scale"]: row
        for row in definitions(CASE)["by_scale"]
        if row["activation"] == "relu" and row["layers back"] == 39
    }
    assert abs(far[f"{sqrt(2):.3g}"]["powers of ten"]) < 1.5
    assert far["1"]["powers of ten"] == pytest.approx(far["1"]["theory, ReLU"], abs=1.5)
    assert far["3"]["powers of ten"] == pytest.approx(far["3"]["theory, ReLU"], abs=1.5)


def test_the_distributions_are_complete_and_say_what_the_table_says() -> None:
    defined = definitions(CASE)
    for rows in defined["distributions"].values():
        assert sum(row["share of the values"] for row in rows) == pytest.approx(3)  # three layers
    spread = {row["start"]: row for row in defined["spreads"]}
    assert spread["small: normal, std 0.01"]["level, last"] < 1e-6
    assert spread["large: normal, std 1"]["saturated, last"] > 0.5
    assert spread["Xavier"]["saturated, last"] < 0.05


def test_wrong_repairs_do_not_pass() -> None:
    fix = definitions(CASE)["fix"]
    assert not fix.grade(rate="0.0005").ok
    assert not fix.grade(activation="sigmoid").ok
    assert not fix.grade(law="normal, std 0.3/√n").ok
