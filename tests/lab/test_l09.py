"""Lesson 9: one division is exact; neither the scale of the data nor that of a normalized weight matters."""

import pytest
from document_battery import at_first, names, readouts

KEY = "l09_data_driven"


def test_one_pass_is_exact_and_many_passes_are_near() -> None:
    readout, _ = at_first(KEY, "by_hand_and_library")
    shown = readouts(readout)
    assert shown["forward_passes_by_hand"] == 24  # 12 layers, each measured and confirmed
    assert shown["largest_distance_from_1_by_hand"] < 0.1
    assert shown["largest_distance_from_1_by_library"] < 1e-3


@pytest.mark.parametrize("contrast", [0.01, 100.0])
def test_a_calibrated_network_does_not_care_for_the_scale_of_the_data(contrast: float) -> None:
    _, figure = names(KEY)["calibrated"](depth=8, batch=256, contrast=contrast, kind="largest of four")
    starts = {
        what: [r["root mean square"] for r in figure.rows if r["what"] == what]
        for what in {r["what"] for r in figure.rows}
    }
    assert starts["one pass: calibrate=True"] == pytest.approx([1.0] * 8, rel=0.15)
    assert not 0.1 < starts["orthogonal"][0] < 10


def test_behind_a_normalization_no_start_matters() -> None:
    figure, _ = at_first(KEY, "trains")
    reached = {
        n: [r["test accuracy"] for r in figure.rows if r["network"] == n] for n in {r["network"] for r in figure.rows}
    }
    assert max(reached["plain"]) - min(reached["plain"]) > 0.5
    assert max(reached["with batch normalization"]) - min(reached["with batch normalization"]) < 0.15


def test_the_scale_behind_a_normalization_is_a_learning_rate() -> None:
    lesson = names(KEY)
    assert lesson["change"] < 1e-3
    assert lesson["scaled_gradient"] / lesson["gradient"] == pytest.approx(1e-3, rel=0.01)
    assert lesson["last_loss_scaled_rate"] == pytest.approx(lesson["last_loss"], rel=1e-3)
    assert lesson["last_loss_same_rate"] != pytest.approx(lesson["last_loss"], rel=0.1)
