"""Lesson 9: one division a layer is exact, one pass does what many do, and a normalization divides all of it away."""

import pytest
from lesson_battery import Case, LessonBattery, app_of, definitions

CASE = Case(
    "l09_data_driven",
    slider="Depth (layers)",
    name="depth",
    readout="last_level_he_normal",
    right="By less than 1 %",
    wrong="By 1 % to 100 %",
    codes=frozenset({"FWD203"}),
    fixed={"calibrate": "on 256 images"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_one_pass_is_exact_and_many_passes_are_near() -> None:
    defined = definitions(CASE)
    assert defined["off_by_library"] < 1e-3
    assert defined["off_by_hand"] < 0.1
    assert defined["passes_by_hand"] == 24  # 12 layers, each measured and confirmed


@pytest.mark.parametrize("contrast", [0.01, 100.0])
def test_a_calibrated_network_does_not_care_for_the_scale_of_the_data(contrast: float) -> None:
    values = {"depth": 8, "batch": 256, "contrast": contrast, "kind": "largest of four"}
    fakes = {name: type("Widget", (), {"value": value}) for name, value in values.items()}
    _, defined = app_of(CASE).run(defs=fakes)
    assert defined["starts"]["one pass: calibrate=True"] == pytest.approx([1.0] * 8, rel=0.15)
    assert not 0.1 < defined["starts"]["orthogonal"][0] < 10


def test_behind_a_normalization_no_start_matters() -> None:
    differences = definitions(CASE)["differences"]
    assert differences["plain"] > 0.5
    assert differences["with batch normalization"] < 0.15


def test_the_scale_behind_a_normalization_is_a_learning_rate() -> None:
    defined = definitions(CASE)
    assert defined["change"] < 1e-3
    assert defined["gradient_factor"] == pytest.approx(1e-3, rel=0.01)
    assert defined["last_loss_scaled_rate"] == pytest.approx(defined["last_loss"], rel=1e-3)
    assert defined["last_loss_same_rate"] != pytest.approx(defined["last_loss"], rel=0.1)
