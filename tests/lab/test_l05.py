"""Lesson 5: exact gains against closed forms, of named activations and of one that is drawn."""

from math import erf, exp, pi, sqrt
from typing import Any

import pytest
import torch
from lesson_battery import BrowserBattery, Case, app_of, definitions

import gainstage as gs
from gainstage.lab.lessons import l05_he as lesson

CASE = Case(
    "l05_he",
    slider="Height at z = 1",
    name="p4",
    readout="gain",
    right="It falls below 1/30",
    wrong="It falls to between 1/3 and 1/30",
    codes=frozenset({"FWD202"}),
    fixed={"law": "he_normal: the activation's own gain"},
)
AT_START = {"kind": "drawn", "formula": "z", "law": "its own gain", "depth": 20, "width": 128, "seed": 0}


class TestLesson(BrowserBattery):
    case = CASE


def run(**changes: Any) -> Any:
    """What the lesson defines with some widgets set."""
    heights = dict(zip(("p0", "p1", "p2", "p3", "p4", "p5", "p6"), lesson.HEIGHTS, strict=True))
    values = AT_START | heights | changes
    return app_of(CASE).run(defs={name: type("Widget", (), {"value": value}) for name, value in values.items()})[1]


def test_relu_keeps_half_the_second_moment_and_less_of_the_variance() -> None:
    for row in definitions(CASE)["halves"]:
        assert row["E[ReLU²]"] == pytest.approx(row["σ²/2"], rel=1e-9)
        assert row["Var(ReLU)"] == pytest.approx(row["σ²(1/2 − 1/2π)"], rel=1e-9)
        # a mean of 1e6 squares scatters by 0.2 %; 1.5 % is beyond 6 standard deviations
        assert row["sampled E[ReLU²]"] == pytest.approx(row["E[ReLU²]"], rel=0.015)
        assert row["sampled Var(ReLU)"] == pytest.approx(row["Var(ReLU)"], rel=0.015)


def test_the_gains_by_hand_by_the_library_and_by_closed_forms() -> None:
    rows = {row["activation"]: row for row in definitions(CASE)["gains"]}
    assert rows["relu"]["gain, gs.gain"] == pytest.approx(sqrt(2))
    assert rows["leaky_relu"]["gain, gs.gain"] == pytest.approx(sqrt(2 / (1 + 0.01**2)))
    assert rows["selu"]["gain, gs.gain"] == pytest.approx(1)
    # E[(z Φ(z))²]: by parts, with E[Φ²] = 1/3 for the uniform Φ(z)
    assert rows["gelu"]["E[φ²]"] == pytest.approx(1 / 3 + 1 / (2 * pi * sqrt(3)), rel=1e-9)
    for row in rows.values():
        assert abs(row["by hand − gs.gain"]) < 1e-5
    for name in ("relu", "leaky_relu"):
        assert rows[name]["gradient, factor a layer"] == pytest.approx(1)
        assert rows[name]["error in q, factor a layer"] == pytest.approx(1)
    assert rows["gelu"]["error in q, factor a layer"] > 1 > rows["tanh"]["error in q, factor a layer"]


def test_the_drawn_activation_starts_as_a_leaky_relu() -> None:
    defined = definitions(CASE)
    assert defined["gain"] == pytest.approx(sqrt(2 / (1 + 0.1**2)), abs=1e-9)
    z = torch.linspace(-5, 5, 101, dtype=torch.float64)
    assert torch.allclose(lesson.through(lesson.HEIGHTS)(z), torch.nn.functional.leaky_relu(z, 0.1), atol=1e-9)
    assert defined["forward"][-1] == pytest.approx(defined["theory"][-1], rel=0.5)


def test_a_straight_line_has_gain_one_over_its_slope_and_a_ramp_a_closed_form() -> None:
    assert gs.gain(lesson.through([2.0 * x for x in lesson.POINTS])) == pytest.approx(0.5)
    ramp = gs.gain(lesson.through([-1, -1, -1, 0, 1, 1, 1]))  # clip to [-1, 1]
    inside = erf(1 / sqrt(2)) - sqrt(2 / pi) * exp(-1 / 2)
    assert ramp == pytest.approx((inside + 1 - erf(1 / sqrt(2))) ** -0.5)


def test_a_typed_formula_is_used_and_its_mistakes_are_told() -> None:
    swish = run(kind="typed", formula="z * torch.sigmoid(z)")
    assert swish["gain"] == pytest.approx(gs.gain("silu"))
    assert run(kind="typed", formula="F.gelu(z)")["gain"] == pytest.approx(gs.gain("gelu"))
    for formula, said in (("z +", "SyntaxError"), ("z.softmax(-1)", "NotElementwise"), ("0 * z", "no gain")):
        broken = run(kind="typed", formula=formula)
        assert said in broken["problem"]
        assert broken["gain"] == 1  # of φ(z) = z, which is measured instead


def test_the_heights_at_zero_have_no_gain() -> None:
    flat = run(**{f"p{i}": 0 for i in range(7)})
    assert "no gain" in flat["problem"]


def test_gelu_under_the_gain_of_relu_falls_faster_than_the_power_law() -> None:
    defined = definitions(CASE)
    assert defined["left"] < (sqrt(2) / gs.gain("gelu")) ** (defined["DEPTH"] - 1) / 2
    assert defined["gelu_gains"][1e-6] == pytest.approx(2, rel=1e-3)


def test_a_zigzag_keeps_the_level_and_explodes_the_gradient() -> None:
    zigzag = run(**{f"p{i}": (1, -1)[i % 2] for i in range(7)})
    assert zigzag["forward"][-1] == pytest.approx(zigzag["theory"][-1], rel=0.2)
    assert zigzag["gradient_factor"] > 5
    assert zigzag["backward"][0] > 1e6 * zigzag["backward"][-1]


def test_lifting_all_points_keeps_the_level_and_makes_samples_alike() -> None:
    lifted = run(**{f"p{i}": height + 1.5 for i, height in enumerate(lesson.HEIGHTS)})
    last = lifted["sites"][-1].forward
    assert last.rms == pytest.approx(1, rel=0.3)
    assert last.variance_between < 1e-6 * last.mean_square
