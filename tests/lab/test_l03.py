"""Lesson 3: the second moment is handed on, by hand and by the library, and theory agrees."""

from math import pi

import pytest
from lesson_battery import BrowserBattery, Case, app_of, definitions

CASE = Case(
    "l03_variance",
    slider="Weight scale (std × √width)",
    name="scale",
    readout="level_at_the_last_layer",
    right="It grows more than tenfold",
    wrong="It stays within a factor of 3",
    codes=frozenset({"INI104"}),
    fixed={"law": "he_normal: n·var = 2"},
)


class TestLesson(BrowserBattery):
    case = CASE


def test_a_layer_hands_on_the_second_moment_and_not_the_variance() -> None:
    for row in definitions(CASE)["one_layer"]:
        # a sample variance over 4096 units scatters by 2.2 %; 12 % is beyond 5 standard deviations
        assert row["measured Var(y)"] == pytest.approx(row["n·var(w)·E[x²]"], rel=0.12)
    relu = definitions(CASE)["one_layer"][1]
    assert relu["measured Var(y)"] > 1.2 * relu["n·var(w)·Var(x)"]


def test_the_moments_behind_a_relu() -> None:
    defined = definitions(CASE)
    assert defined["by_moment"] == pytest.approx(1 / 2)
    assert defined["by_variance"] == pytest.approx(1 / 2 - 1 / (2 * pi))


def test_by_hand_and_by_the_library_are_the_same_and_near_theory() -> None:
    defined = definitions(CASE)
    assert defined["by_hand"] == pytest.approx(defined["forward"], rel=1e-4)
    assert defined["forward"][-1] == pytest.approx(defined["theory"][-1], rel=0.5)


def test_a_scale_of_root_two_keeps_the_level_of_a_relu_chain() -> None:
    values = {"depth": 30, "width": 256, "scale": 2**0.5, "activation": "relu", "seed": 0}
    fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
    _, defined = app_of(CASE).run(defs=fakes)
    assert defined["theory"][-1] == pytest.approx(2**0.5)
    assert 0.3 < defined["forward"][-1] / defined["forward"][0] < 3
    assert defined["gain"] == pytest.approx(2**0.5)
