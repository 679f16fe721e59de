"""Lesson 7: orthogonal steps last, pairs make a rectifier an isometry, and the edge of chaos is where theory has it."""

from math import log10

import pytest
from lesson_battery import Case, LessonBattery, app_of, definitions

CASE = Case(
    "l07_orthogonal",
    slider="Scale of the weights σ_w",
    name="sigma_w",
    readout="χ1_by_theory",
    right="Few: less than 20",
    wrong="About half: 20 to 60",
    codes=frozenset({"FWD202"}),
    fixed={"recurrent": "mirrored"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_by_hand_and_by_the_library() -> None:
    defined = definitions(CASE)
    assert defined["off_by_hand"] < 1e-5
    assert defined["off_by_library"] < 1e-5
    assert defined["mirrored_differ_by"] == 0


@pytest.mark.parametrize("gain", [0.99, 1.0, 1.01])
def test_ten_thousand_orthogonal_steps_scale_by_the_power_of_the_gain(gain: float) -> None:
    from gainstage import init, lab
    from gainstage.lab.lessons.l07_orthogonal import STEPS, sizes

    state = lab.draw(init.normal(), 32, seed=1)
    reached = sizes(lab.draw(init.orthogonal(gain), 32, 32), state)[-1]
    assert reached == pytest.approx(STEPS * log10(gain), abs=0.02)  # rounding of the matrix, 10,000 times over


def test_singular_values() -> None:
    from gainstage.lab.lessons.l07_orthogonal import alive, directions, started

    linear, relu, tanh = (
        {k: directions(m) for k, m in started(20, name).items()} for name in ("linear", "relu", "tanh")
    )
    assert linear["orthogonal"] == pytest.approx([1.0] * 64, rel=1e-4)
    assert linear["normal"][0] / linear["normal"][32] > 1000
    assert relu["mirrored"] == pytest.approx([1.0] * 64, rel=1e-4)
    assert alive(relu["orthogonal"]) < 32
    assert tanh["orthogonal"][0] / tanh["orthogonal"][32] < tanh["normal"][0] / tanh["normal"][32] / 100


def test_theory_meets_measurement_in_order_and_in_chaos() -> None:
    for weights in (1.0, 2.4):
        values = {"weight_scale": weights, "bias_scale": 0.3, "layers": 15, "phi": "tanh"}
        fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
        _, defined = app_of(CASE).run(defs=fakes)
        assert (defined["chi"] > 1) == (weights > 2)
        assert defined["growth"] == pytest.approx(defined["chi"], rel=0.1)
        assert defined["alike"] == pytest.approx(defined["alike_by_theory"], abs=0.1)


def test_the_edge_lies_where_theory_has_it() -> None:
    for row in definitions(CASE)["edge"]:
        assert row["edge σ_w measured"] == pytest.approx(row["edge σ_w by theory"], rel=0.12)
