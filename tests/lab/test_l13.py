"""Lesson 13: what each variant delivers, exactly and counted; and DropConnect beside dropout."""

import re

import pytest
from document_battery import at_first, names, readouts

KEY = "l13_dropout"


def test_by_hand_is_the_library_draw_for_draw() -> None:
    (readout,) = at_first(KEY, "by_hand_and_library")
    assert len(readouts(readout)) == 3
    assert max(readouts(readout).values()) < 1e-6


@pytest.mark.parametrize(("p", "b", "size"), [(0.3, 7, 14), (0.5, 3, 10), (0.1, 5, 20)])
def test_delivered_is_what_theory_says(p: float, b: int, size: int) -> None:
    shares = names(KEY)["delivered"](p, b, size)
    theory = names(KEY)["published_in_theory"](p, b, size).mean().item()
    # 200,000 entries in patches of at most 49: the standard error is below 0.5 * sqrt(4 * 49 / 200,000) = 0.016 at
    # the worst; measured 0.003. 0.02 is beyond 5 of the measured ones
    assert shares["published"].mean().item() == pytest.approx(theory, abs=0.02)
    assert shares["gainstage"].mean().item() == pytest.approx(p, abs=0.02)
    assert theory < p


def test_the_published_formula_counts_the_squares_that_can_cover_a_place() -> None:
    in_theory = names(KEY)["published_in_theory"]
    gamma = 0.3 / 49 * (14 / 8) ** 2
    assert in_theory(0.3, 7, 14)[0, 0].item() == pytest.approx(gamma)  # one square only
    assert in_theory(0.3, 7, 14)[7, 7].item() == pytest.approx(1 - (1 - gamma) ** 49)
    assert in_theory(0.3, 1, 14).mean().item() == pytest.approx(0.3)


def test_the_exact_formula_delivers_what_is_asked_for() -> None:
    _, figure, _, _ = at_first(KEY, "asked_and_delivered")
    exact = [row for row in figure.rows if row["formula"] == "gainstage"]
    assert [row["delivered"] for row in exact] == pytest.approx([row["asked"] for row in exact])


def test_every_variant_delivers_its_rate_and_its_level() -> None:
    for row in names(KEY)["variants"]:
        # DropPath has 512 coins: 5 standard errors of the rate are 0.1
        assert row["delivered"] == pytest.approx(row["asked"], abs=0.1 if row["layer"] == "DropPath" else 0.04)
        assert row["mean square"] == pytest.approx(row["theory: 1/(1-p)"], rel=0.15)
        shared = row["layer"] in ("SpatialDropout2d", "LockedDropout", "DropPath")
        single = row["layer"] in ("Dropout", "AlphaDropout")
        assert row["dropped neighbours"] == pytest.approx(1.0 if shared else 0.3 if single else 0.84, abs=0.02)


def test_drop_connect_has_the_variance_of_dropout_and_not_its_covariance() -> None:
    table, readout = at_first(KEY, "connect")
    front, inside = (
        [float(cell) for cell in re.findall(r"<td>([^<]*)</td>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", table.static)[1:]
    )
    for mean, mean_in_theory, variance, in_theory, covariance, covariance_in_theory in (front, inside):
        # 20,000 draws of variance 1.3: 5 standard errors are 0.04 of the mean, 0.065 of (co)variances
        assert mean == pytest.approx(mean_in_theory, abs=0.04)
        assert variance == pytest.approx(in_theory, abs=0.065)
        assert covariance == pytest.approx(covariance_in_theory, abs=0.065)
    assert front[-1] > 0.1
    behind = readouts(readout)
    assert behind["gainstage_in_evaluation"] == pytest.approx(behind["average_over_draws"], abs=0.03)
    assert behind["relu_of_the_mean"] < 0.1 * behind["average_over_draws"]
