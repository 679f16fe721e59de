from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gainstage.study._errors import StudyError
from gainstage.study._power import seeds_needed
from gainstage.study._questions import Question
from gainstage.study._verdict import Verdict, judge

MARGIN = 0.01


def asked(k: int) -> Question:
    return Question("init", "for relu at depth 20", tuple(range(k)), tuple("abcdefgh"[:k]))


def verdict(*scores: list[float], margin: float = MARGIN, **options: object) -> Verdict:
    return judge(asked(len(scores)), scores, margin=margin, **options)  # type: ignore[arg-type]


def drawn(rng: np.random.Generator, means: list[float], spread: float, n: int) -> list[list[float]]:
    return [[float(s) for s in rng.normal(mean, spread, n)] for mean in means]


marks = st.integers(80, 100).map(lambda k: k / 100)
studies = st.integers(2, 4).flatmap(
    lambda n: st.lists(st.lists(marks, min_size=n, max_size=n), min_size=2, max_size=4)
)  # fmt: skip

# -- the three answers --


def test_a_difference_that_is_plain_matters() -> None:
    found = verdict([0.966, 0.967, 0.968], [0.70, 0.72, 0.71])
    assert found.answer == "matters"
    assert found.sentence == (
        "init matters for relu at depth 20: a (0.967) beats b (0.710) by 0.257 (95 % interval 0.233 to 0.281, 3 seeds)"
    )
    assert (found.best, found.seeds_needed) == ("a", None)


def test_over_several_pairs_the_sentence_says_so_and_its_interval_holds_for_all() -> None:
    found = verdict([0.95, 0.96, 0.97, 0.96], [0.66, 0.72, 0.70, 0.70], [0.95, 0.96, 0.97, 0.95])
    assert found.answer == "matters"
    assert (
        "a (0.960) beats b (0.695) by 0.265 (95 % interval 0.214 to 0.316, 4 seeds, Holm over 3 pairs)"
        "; not beaten either: c" in found.sentence
    )
    assert (found.best, found.unbeaten) == ("a", ("a", "c"))
    ab = found.comparisons[0]
    assert ab.wide_low < ab.low < ab.difference < ab.high < ab.wide_high


def test_levels_that_are_close_do_not_matter() -> None:
    found = verdict([0.966, 0.968, 0.967], [0.967, 0.968, 0.966], [0.966, 0.967, 0.967])
    assert found.answer == "does not matter"
    widest = max(c.bound for c in found.comparisons)
    assert widest <= MARGIN
    assert found.sentence == (
        f"init does not matter for relu at depth 20: all 3 are within {widest:.3f} of each other "
        "(95 % intervals, 3 seeds)"
    )


def test_a_difference_that_is_certain_but_smaller_than_the_margin_does_not_matter() -> None:
    found = verdict([0.960, 0.961, 0.962, 0.963], [0.957, 0.958, 0.9591, 0.960])
    assert found.comparisons[0].adjusted_p < 0.001
    assert found.answer == "does not matter"
    assert verdict([0.960, 0.961, 0.962, 0.963], [0.957, 0.958, 0.9591, 0.960], margin=0.001).answer == "matters"


def test_a_certain_difference_that_may_or_may_not_reach_the_margin_cannot_be_told() -> None:
    found = verdict([0.968, 0.972, 0.970, 0.974], [0.961, 0.962, 0.961, 0.964])
    (only,) = found.comparisons
    assert only.adjusted_p < 0.05
    assert only.difference < MARGIN < only.high
    assert found.answer == "cannot tell"
    assert found.seeds_needed == max(5, seeds_needed(only.spread, MARGIN - only.difference, power=0.9))


def test_a_wide_spread_cannot_be_told_and_says_how_many_seeds_would() -> None:
    found = verdict([0.95, 0.90, 0.97, 0.93, 0.95], [0.91, 0.94, 0.92, 0.90, 0.93])
    (only,) = found.comparisons
    assert found.answer == "cannot tell"
    assert found.seeds_needed == seeds_needed(only.spread, only.difference, power=0.8)
    assert found.sentence == (
        f"cannot tell with 5 seeds whether init matters for relu at depth 20: the widest difference is 0.020 ± "
        f"{only.high - only.difference:.3f}; about {found.seeds_needed} seeds would tell"
    )


# -- the edges --


def test_one_seed_cannot_tell_however_wide_the_difference() -> None:
    found = verdict([1.0], [0.1])
    assert (found.answer, found.seeds_needed) == ("cannot tell", None)
    assert found.sentence.startswith("cannot tell with 1 seed whether init matters")
    assert "run at least 3 seeds" in found.sentence
    assert found.unbeaten == ("a", "b")
    assert verdict([0.9], [0.9]).answer == "cannot tell"


def test_two_seeds_tell_what_is_plain_only() -> None:
    assert verdict([0.97, 0.96], [0.10, 0.11]).answer == "matters"
    assert verdict([0.97, 0.94], [0.90, 0.91]).answer == "cannot tell"


def test_scores_at_the_ceiling_do_not_matter_as_far_as_their_resolution_shows() -> None:
    perfect = [[1.0] * 5] * 3
    assert verdict(*perfect, resolution=1 / 360).answer == "does not matter"
    found = verdict(*perfect, resolution=1 / 36)  # five runs on 36 samples do not show a hundredth
    assert found.answer == "cannot tell"
    assert found.seeds_needed is not None
    assert verdict(*[[1.0] * found.seeds_needed] * 3, resolution=1 / 36).answer == "does not matter"


def test_levels_without_spread_that_differ() -> None:
    assert verdict([1.0] * 3, [0.1] * 3, [0.1] * 3, resolution=1 / 360).answer == "matters"
    assert verdict([0.5] * 3, [0.5] * 3, margin=0.0).answer == "does not matter"


def test_every_run_failed() -> None:
    found = verdict([0.1] * 5, [0.1] * 5, failures=[5, 5], guess=0.1)
    assert (found.answer, found.seeds_needed) == ("cannot tell", None)
    assert found.sentence.endswith("for relu at depth 20: every run failed")


def test_levels_that_all_guess_do_not_matter_and_the_sentence_says_why() -> None:
    found = verdict([0.1] * 5, [0.1] * 5, guess=0.1)
    assert found.answer == "does not matter"
    assert found.sentence.endswith("; none does better than guessing (0.100)")


def test_failures_are_told() -> None:
    found = verdict([0.96, 0.97, 0.96, 0.97, 0.96], [0.96, 0.1, 0.97, 0.97, 0.96], failures=[0, 1], guess=0.1)
    assert found.answer == "cannot tell"
    assert found.sentence.endswith("; b failed on 1 of 5 seeds")
    found = verdict([0.96, 0.97, 0.96, 0.97, 0.96], [0.1] * 5, failures=[0, 5], guess=0.1)
    assert found.answer == "matters"
    assert found.sentence.endswith("; b failed on 5 of 5 seeds")


def test_no_number_of_seeds_shows_a_difference_of_exactly_nothing() -> None:
    found = verdict([0.9, 0.8, 0.9], [0.8, 0.9, 0.9], margin=0.0)
    assert (found.answer, found.seeds_needed) == ("cannot tell", None)
    assert "takes a margin above 0 to show" in found.sentence
    found = verdict([0.9, 0.8, 0.9, 0.8], [0.8, 0.9, 0.8, 0.9])
    assert found.seeds_needed is None
    assert found.sentence.endswith("more than 1000 seeds would be needed")


def test_the_levels_of_a_comparison_have_the_same_seeds() -> None:
    with pytest.raises(StudyError, match="2 and 3 came"):
        verdict([0.9, 0.8], [0.9, 0.8, 0.7])


def test_arms_that_differ_in_several_factors() -> None:
    question = Question(None, "", (0, 1), ("a", "b"))
    assert str(question) == "Do the arms differ?"
    told = [
        judge(question, scores, margin=MARGIN).sentence
        for scores in ([[0.9, 0.91, 0.9], [0.5, 0.51, 0.5]], [[0.9, 0.91, 0.9]] * 2, [[0.9, 0.7, 0.9], [0.8, 0.8, 0.8]])
    ]
    assert told[0].startswith("the arms differ: a (0.903) beats b (0.503)")
    assert told[1].startswith("the arms do not differ: both are within 0.000")
    assert told[2].startswith("cannot tell with 3 seeds whether the arms differ: ")


# -- for all studies --


@settings(deadline=None)
@given(studies, st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_arms_or_seeds(scores: list[list[float]], margin: float, r) -> None:  # type: ignore[no-untyped-def]
    found = verdict(*scores, margin=margin)
    order, seeds = list(range(len(scores))), list(range(len(scores[0])))
    r.shuffle(order)
    r.shuffle(seeds)
    other = verdict(*[[scores[i][s] for s in seeds] for i in order], margin=margin)
    assert (other.answer, other.seeds_needed) == (found.answer, found.seeds_needed)
    assert max(other.means) == pytest.approx(max(found.means))


@settings(deadline=None)
@given(studies, st.floats(0.0, 0.3), st.floats(0.0, 0.3))
def test_a_larger_margin_never_makes_a_choice_matter(scores: list[list[float]], one: float, other: float) -> None:
    small, large = (verdict(*scores, margin=m).answer for m in sorted((one, other)))
    order = ("matters", "cannot tell", "does not matter")
    assert order.index(small) <= order.index(large)


@settings(deadline=None)
@given(studies, st.floats(0.0, 0.3))
def test_no_verdict_is_backed_by_evidence_for_the_other(scores: list[list[float]], margin: float) -> None:
    found = verdict(*scores, margin=margin)
    within = all(max(abs(c.low), abs(c.high)) <= margin for c in found.comparisons)
    apart = any(c.adjusted_p < 0.05 and abs(c.difference) > margin for c in found.comparisons)
    assert not (within and apart)
    assert found.best in found.unbeaten
    assert (len(found.unbeaten) == len(scores)) or apart
    assert found.answer == ("does not matter" if within else "matters" if apart else "cannot tell")


def test_levels_that_are_not_shown_to_be_worse_are_named() -> None:
    """c has the largest mean, by luck; only a is surely above b."""
    found = verdict([0.90, 0.91, 0.90, 0.91, 0.90], [0.80, 0.81, 0.82, 0.81, 0.82], [0.99, 0.99, 0.68, 0.99, 0.99])
    assert found.answer == "matters"
    assert (found.best, found.unbeaten) == ("c", ("a", "c"))
    assert ": a (0.904) beats b (0.812)" in found.sentence
    assert found.sentence.endswith("; not beaten either: c")


@settings(deadline=None)
@given(st.permutations([0.1, 0.5, 0.9]))
def test_the_best_level_is_the_one_with_the_largest_mean(means: list[float]) -> None:
    found = verdict(*[[mean, mean + 0.01, mean] for mean in means])
    assert found.best == "abc"[means.index(0.9)]
    assert f"{found.best} (0.903) beats {'abc'[means.index(0.1)]} (0.103)" in found.sentence


# -- how often it is wrong --


@pytest.mark.parametrize("kind", ["normal", "one wide", "failing"])
def test_equal_levels_matter_in_at_most_a_twentieth_of_studies(kind: str) -> None:
    """Four equal levels, five seeds, no margin: more than 0.1 of 600 studies with a probability below 1e-6 if 0.05.

    The true shares are about 0.04, 0.03 and 0.005.
    """
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(600):
        scores = rng.normal(0.9, 0.02, (4, 5)) + rng.normal(0, 0.02, 5)
        if kind == "one wide":
            scores[0] += rng.normal(0, 0.2, 5)
        if kind == "failing":
            scores[rng.random((4, 5)) < 0.2] = 0.1
        wrong += verdict(*scores.tolist(), margin=0.0).answer == "matters"
    assert wrong / 600 <= 0.1


def test_levels_a_margin_apart_do_not_matter_in_at_most_a_fortieth_of_studies() -> None:
    """Two of three levels exactly the margin apart: more than 0.06 of 1000 studies with a probability below 1e-9."""
    rng = np.random.default_rng(0)
    wrong = [
        verdict(*drawn(rng, [0.90, 0.90, 0.90 - MARGIN], 0.004, 5)).answer == "does not matter" for _ in range(1000)
    ]
    assert 0 < np.mean(wrong) <= 0.06


@pytest.mark.parametrize(("gap", "answer"), [(0.02, "matters"), (0.0, "does not matter")])
def test_with_the_seeds_that_it_asks_for_most_studies_tell(gap: float, answer: str) -> None:
    """A study of few seeds with exactly this gap and spread asks for n; of 1000 studies with n seeds four of five tell.

    Fewer than 0.73 of them with a probability below 1e-6.
    """
    few = 0.02 * np.array([-1, 1, -1, 1]) / 1.1547  # standard deviation 0.02
    first = verdict((0.9 + few).tolist(), [0.9 - gap] * 4)
    assert first.answer == "cannot tell"
    assert first.comparisons[0].spread == pytest.approx(0.02, abs=1e-5)
    assert first.seeds_needed is not None
    told, rng = [], np.random.default_rng(0)
    for a in rng.normal(0.9, 0.02, (1000, first.seeds_needed)):
        told.append(verdict(a.tolist(), [0.9 - gap] * len(a)).answer == answer)
    assert 0.73 <= np.mean(told) < 1


def test_all_orders_of_three_levels_name_the_same_pair() -> None:
    rng = np.random.default_rng(0)
    scores = dict(zip("abc", drawn(rng, [0.9, 0.8, 0.6], 0.01, 5), strict=True))
    told = set()
    for order in permutations("abc"):
        question = Question("init", "", (0, 1, 2), order)
        told.add(judge(question, [scores[name] for name in order], margin=MARGIN).sentence)
    assert len(told) == 1
    assert "a (0." in told.pop()
