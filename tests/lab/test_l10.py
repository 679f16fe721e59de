"""Lesson 10: batch normalization by hand, its two modes, what small batches do, and the noise that does no harm."""

from math import pi, sqrt

import pytest
import torch
from lesson_battery import Case, LessonBattery, definitions

import gainstage as gs
from gainstage.lab.lessons import l10_batchnorm as page

CASE = Case(
    "l10_batchnorm",
    slider="Batch size (samples)",
    name="batch",
    readout="train_minus_eval_rms",
    right="Far better than the plain network, in spite of the shift",
    wrong="Like the plain network or worse: the shift is back",
    codes=frozenset({"NRM401"}),
    fixed={"norm": "LayerNorm"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_by_hand_is_the_library_in_both_modes_with_four_numbers_a_feature() -> None:
    defined = definitions(CASE)
    assert defined["by_hand_apart"] < 1e-4  # of values up to 30: pixels that are nearly always 0
    assert (defined["count"].learnable_per_feature, defined["count"].buffers_per_feature) == (2, 2)


def test_train_minus_eval_is_the_closed_form() -> None:
    for n, measured in definitions(CASE)["gaps"]:
        # 512 features; each mean square scatters by less than its size: 5 standard errors are below 12 % of the root
        assert measured == pytest.approx(page.gap_in_theory(n), rel=0.12)
    assert page.gap_in_theory(2) == pytest.approx(sqrt(2 - 2 / sqrt(pi)))  # E[s] = E|z| / sqrt(2) of a difference
    assert page.gap_in_theory(1000) == pytest.approx(sqrt(1.5 / 1000), rel=1e-3)


def test_two_values_become_their_order_and_one_is_refused() -> None:
    x = torch.tensor([[3.0], [3.5]])
    assert gs.nn.BatchNorm1d(1, eps=1e-9)(x).flatten().tolist() == pytest.approx([-1.0, 1.0])
    for batch in (2, 3, 8):
        assert page.modes_apart(batch)[1] <= sqrt(batch - 1) + 1e-4
    assert "at least 2 values" in page.modes_apart(1)[2]


def test_what_the_next_weight_reads_before_and_after() -> None:
    for row in definitions(CASE)["placements"]:
        assert row["mean that the next weight reads"] == pytest.approx(row["normal theory"], abs=0.03)
        assert row["its mean square"] == pytest.approx(row["theory for that"], abs=0.05)
        assert row["test accuracy, lowest of 4 seeds"] > 0.75


def test_noise_shifts_more_than_training_and_the_gradient_still_holds() -> None:
    plain, normal, noisy = definitions(CASE)["both_measured"]
    shift, turned = "shift a step (standard deviations)", "gradient turned by one step"
    assert normal[shift] < 0.01 < plain[shift] < noisy[shift]
    assert normal[turned] < noisy[turned] < 0.75 * plain[turned]


def test_the_gradient_of_a_normalized_weight_shrinks_as_the_weight_grows() -> None:
    rows = definitions(CASE)["scaling"]
    for row in rows:
        assert row["cost"] == pytest.approx(rows[0]["cost"], rel=1e-3)
        assert row["a × that"] == pytest.approx(rows[0]["a × that"], rel=1e-2)
