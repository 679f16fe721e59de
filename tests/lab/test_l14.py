"""Lesson 14: shares that are counted, targets mixed as their inputs, and calibration in both directions."""

import pytest
import torch
from lesson_battery import Case, LessonBattery, definitions

import gainstage as gs
from gainstage.lab.lessons import l14_mixing as page

CASE = Case(
    "l14_mixing",
    slider="α of the shares",
    name="alpha",
    readout="calibration_error_mixed",
    right="It rises",
    wrong="It falls: mixing calibrates",
    codes=frozenset({"OUT506"}),
    fixed={"target": "mixed.soft(10)"},
)


class TestLesson(LessonBattery):
    case = CASE


def test_by_hand_is_the_library() -> None:
    for difference in definitions(CASE)["apart"].values():
        assert difference < 1e-6


def test_the_share_of_cutmix_is_what_is_in_the_image() -> None:
    drawn, counted, library = definitions(CASE)["shares"]
    key = "largest distance to the pixels"
    assert counted[key] < 1e-6
    assert library[key] < 1e-6
    assert drawn[key] > 0.3
    # 400 shares of standard deviation below 0.3: 5 standard errors of the difference are below 0.11
    assert counted["mean"] == pytest.approx(library["mean"], abs=0.11)
    assert counted["mean"] > drawn["mean"] + 0.08  # a box that is cut off leaves more


def test_a_box_inside_the_image_has_the_share_of_its_area() -> None:
    a, b = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    mixed, left = page.cutmix_by_hand(a, b, 0.75, 4, 4)
    assert (left, mixed.sum().item()) == (0.75, 16)
    assert page.cutmix_by_hand(a, b, 0.75, 0, 0)[1] == 1 - 4 / 64


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_have_the_variance_of_the_derivation(alpha: float) -> None:
    random, x = torch.Generator().manual_seed(0), torch.zeros(4000, 1)
    lam = gs.train.mixup(x, None, alpha, per="element", generator=random)[1].lam
    # 4,000 shares of variance v <= 1/4: 5 standard errors of the mean are below 0.04, of the variance below 0.012
    assert lam.mean().item() == pytest.approx(0.5, abs=0.04)
    assert lam.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), abs=0.012)


def test_mixing_calibrates_where_the_data_are_noisy_and_harms_where_they_are_clean() -> None:
    plain, mixed = definitions(CASE)["measured"]
    assert mixed["calibration error"] < 0.6 * plain["calibration error"]
    assert plain["mean stated probability"] > plain["accuracy"] + 0.1
    clean = definitions(CASE)["clean"]
    assert clean["mixup"]["calibration error"] > 2 * clean["none"]["calibration error"]
    assert clean["mixup"]["mean stated probability"] < clean["mixup"]["accuracy"]


def test_mixing_lowers_the_stated_probability_of_digits() -> None:
    by = {row["training"]: row for row in definitions(CASE)["on_digits"]}
    for name in ("mixup", "cutmix"):
        assert by[name]["mean stated probability"] < by["none"]["mean stated probability"]
        assert by[name]["accuracy"] > 0.8
