"""Claims of the textbooks, judged from results that are made so that each verdict is known."""

import pytest
from made_results import arm_result, results_of, spread, textbook_like

from gainstage.study._arm import Arm, grid
from gainstage.study._statistics import holm
from gainstage.study._textbook import textbook
from gainstage.study.claims import RECOMMENDED, TEXTBOOK, Claim, judge

HE_FOR_RELU = Claim("relu", "he_normal", "xavier_normal", "it loses half of the signal", "He et al. 2015")


def pair(he: list[float], xavier: list[float], **changes: object):
    arms = (Arm(init="he_normal"), Arm(init="xavier_normal"))
    results = results_of([arm_result(arm, scores) for arm, scores in zip(arms, (he, xavier), strict=True)], **changes)
    return judge(results, [HE_FOR_RELU])


@pytest.mark.parametrize(
    ("he", "xavier", "verdict"),
    [
        (spread(0.95, 0.01), spread(0.60, 0.02), "holds"),
        (spread(0.60, 0.02), spread(0.95, 0.01), "does not hold"),  # the other way round
        (spread(0.950, 0.01), spread(0.950, 0.01), "does not hold"),  # equal, and told to 0.01
        (spread(0.953, 0.01), spread(0.950, 0.01), "does not hold"),  # better, but by less than matters
        ([0.9, 0.5, 0.7, 0.9, 0.4], [0.5, 0.8, 0.6, 0.4, 0.7], "cannot tell"),
        ([0.95], [0.10], "cannot tell"),  # one seed
    ],
)
def test_a_claim_is_judged_by_paired_differences(he: list[float], xavier: list[float], verdict: str) -> None:
    (judged,) = pair(he, xavier)
    assert judged.verdict == verdict
    assert judged.paired.difference == pytest.approx(sum(he) / len(he) - sum(xavier) / len(xavier))
    assert judged.where == {}


def test_a_small_difference_holds_where_the_margin_is_smaller() -> None:
    he, xavier = [0.953, 0.954, 0.952, 0.953, 0.954], [0.950, 0.950, 0.950, 0.950, 0.950]
    assert pair(he, xavier, resolution=0.0)[0].verdict == "does not hold"
    assert pair(he, xavier, resolution=0.0, margin=0.001)[0].verdict == "holds"


def test_pairing_is_by_seed() -> None:
    """Seeds that are hard for both arms leave their difference alone."""
    hard = [0.95, 0.60, 0.90, 0.50, 0.80]
    together = pair([s + 0.03 for s in hard], hard)[0]
    apart = pair([s + 0.03 for s in reversed(hard)], hard)[0]
    assert (together.verdict, apart.verdict) == ("holds", "cannot tell")


def test_holm_goes_over_all_claims_that_are_judged() -> None:
    """A p value of 0.02 holds alone, and not as the smallest of twenty."""
    arms = [Arm(init=init, depth=depth) for depth in range(1, 21) for init in ("he_normal", "xavier_normal")]
    scores = {"he_normal": [0.54, 0.53, 0.52, 0.51, 0.50], "xavier_normal": [0.50, 0.51, 0.50, 0.50, 0.48]}
    results = results_of([arm_result(arm, scores[str(arm.init)]) for arm in arms])
    many = judge(results, [HE_FOR_RELU])
    assert len(many) == 20
    assert [j.adjusted_p for j in many] == pytest.approx(holm([j.paired.p for j in many]))
    assert {j.verdict for j in many} == {"cannot tell"}
    assert pair(scores["he_normal"], scores["xavier_normal"])[0].verdict == "holds"


def test_every_claim_is_judged_at_every_depth_of_the_textbook_comparison() -> None:
    judged = judge(textbook_like())
    assert len(TEXTBOOK) == 20
    assert len({(str(j.claim), j.where["depth"]) for j in judged}) == len(judged) == 40
    assert {j.where["depth"] for j in judged} == {3, 20}


def test_the_textbook_comparison_has_both_starts_of_every_claim() -> None:
    arms = {(arm.init, arm.activation, arm.depth) for arm in textbook().arms}
    for claim in TEXTBOOK:
        for depth in {arm.depth for arm in textbook().arms}:
            assert (claim.better, claim.activation, depth) in arms
            assert (claim.worse, claim.activation, depth) in arms
    assert {claim.better for claim in TEXTBOOK} == set(RECOMMENDED.values())


def test_a_study_about_something_else_has_no_claims() -> None:
    results = results_of([arm_result(arm, spread(0.9)) for arm in grid(norm=[None, "layer_norm"])])
    assert judge(results) == ()


def test_arms_that_differ_in_more_than_the_start_are_not_compared() -> None:
    arms = (Arm(init="he_normal", depth=4), Arm(init="xavier_normal", depth=20))
    results = results_of([arm_result(arm, spread(0.9)) for arm in arms])
    assert judge(results, [HE_FOR_RELU]) == ()


def test_a_run_that_failed_counts_as_guessing() -> None:
    arms = (Arm(init="he_normal"), Arm(init="xavier_normal"))
    results = results_of([arm_result(arms[0], spread(0.9)), arm_result(arms[1], spread(0.9), failures=5)])
    (judged,) = judge(results, [HE_FOR_RELU])
    assert judged.verdict == "holds"
    assert judged.paired.difference == pytest.approx(0.8)
