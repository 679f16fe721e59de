"""Lesson 13: what each variant delivers, exactly and counted; and DropConnect beside dropout."""

import pytest
from lesson_battery import BrowserBattery, Case, definitions

from gainstage.lab.lessons import l13_dropout as page

CASE = Case(
    "l13_dropout",
    slider="Rate asked for",
    name="rate",
    readout="gainstage_delivers",
    right="Less than 0.45",
    wrong="More than 0.55",
    codes=frozenset({"REG701", "REG703"}),
    fixed={"rate": "0.1", "way": "gs.nn.Dropout(p)(h)"},
)


class TestLesson(BrowserBattery):
    case = CASE


def test_by_hand_is_the_library_draw_for_draw() -> None:
    for difference in definitions(CASE)["differences"].values():
        assert difference < 1e-6


@pytest.mark.parametrize(("p", "b", "size"), [(0.3, 7, 14), (0.5, 3, 10), (0.1, 5, 20)])
def test_delivered_is_what_theory_says(p: float, b: int, size: int) -> None:
    shares = page.delivered(p, b, size)
    theory = page.published_in_theory(p, b, size).mean().item()
    # 200,000 entries in patches of at most 49: the standard error is below 0.5 * sqrt(4 * 49 / 200,000) = 0.016 at
    # the worst; measured 0.003. 0.02 is beyond 5 of the measured ones
    assert shares["published"].mean().item() == pytest.approx(theory, abs=0.02)
    assert shares["gainstage"].mean().item() == pytest.approx(p, abs=0.02)
    assert theory < p


def test_the_published_formula_counts_the_squares_that_can_cover_a_place() -> None:
    by_place = page.published_in_theory(0.3, 7, 14)
    gamma = 0.3 / 49 * (14 / 8) ** 2
    assert by_place[0, 0].item() == pytest.approx(gamma)  # one square only
    assert by_place[7, 7].item() == pytest.approx(1 - (1 - gamma) ** 49)
    assert page.published_in_theory(0.3, 1, 14).mean().item() == pytest.approx(0.3)


def test_the_exact_formula_delivers_what_is_asked_for() -> None:
    for row in definitions(CASE)["asked_and_delivered"]:
        if row["formula"] == "gainstage":
            assert row["delivered"] == pytest.approx(row["asked"])


def test_every_variant_delivers_its_rate_and_its_level() -> None:
    for row in definitions(CASE)["variants"]:
        # DropPath has 512 coins: 5 standard errors of the rate are 0.1
        assert row["delivered"] == pytest.approx(row["asked"], abs=0.1 if row["layer"] == "DropPath" else 0.04)
        assert row["mean square"] == pytest.approx(row["theory: 1/(1-p)"], rel=0.15)
        shared = row["layer"] in ("SpatialDropout2d", "LockedDropout", "DropPath")
        single = row["layer"] in ("Dropout", "AlphaDropout")
        assert row["dropped neighbours"] == pytest.approx(1.0 if shared else 0.3 if single else 0.84, abs=0.02)


def test_drop_connect_has_the_variance_of_dropout_and_not_its_covariance() -> None:
    front, inside = definitions(CASE)["connect"]
    for row in (front, inside):
        # 20,000 draws of variance 1.3: 5 standard errors are 0.04 of the mean, 0.065 of (co)variances
        assert row["mean of unit 1"] == pytest.approx(row["theory"], abs=0.04)
        assert row["its variance"] == pytest.approx(row["theory "], abs=0.065)
        assert row["covariance of the two units"] == pytest.approx(row["theory  "], abs=0.065)
    assert front["theory  "] > 0.1
    behind = definitions(CASE)["behind_relu"]
    assert behind["gainstage_in_evaluation"] == pytest.approx(behind["average_over_draws"], abs=0.03)
    assert behind["relu_of_the_mean"] < 0.1 * behind["average_over_draws"]
