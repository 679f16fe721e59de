import json
import math
import sys
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

import gainstage.init as law
from gainstage.study import ArmResult, Results
from gainstage.study._arm import Arm, grid
from gainstage.study._errors import StudyError
from gainstage.study._statistics import iqm, mean_interval, paired
from gainstage.study._trial import Look, Outcome

SEEDS = (3, 5, 8)


def outcome(score: float, failed: str | None = None) -> Outcome:
    curve = (Look(10, 2.0, 1.9, score - 0.2), Look(20, 1.0, 0.9, score - 0.1))
    return Outcome(failed, curve, score, score, math.inf if failed else 0.5, 1.5, "alone")


def results(arms: Any, *scores: float, **options: Any) -> Results:
    """Arm `i` has the score `scores[i]`, a little more on later seeds."""
    scores = scores or (0.9,) * len(arms)
    made = tuple(
        ArmResult(arm, 0.01, (), False, tuple(outcome(score + k / 100 + i * k / 1000) for k in range(len(SEEDS))))
        for i, (arm, score) in enumerate(zip(arms, scores, strict=True))
    )
    return Results("digits", "accuracy", 0.1, 300, 0.01, SEEDS, made, **options)


def net(width: int = 8, heads: int = 2) -> nn.Module:
    return nn.Linear(width, heads)


def other_net(width: int = 8) -> nn.Module:
    return nn.Linear(width, width)


# -- factors and labels --


def test_factors_are_the_fields_in_which_the_arms_differ() -> None:
    found = results(grid(init=["he_normal", "lsuv"], depth=[20, 4], width=32))
    assert found.factors == {"init": ("he_normal", "lsuv"), "depth": (20, 4)}
    assert found.settings[1] == {"init": "he_normal", "depth": 4}


@pytest.mark.parametrize(
    ("arms", "labels"),
    [
        (grid(init=["he_normal", None]), ("he_normal", "own init")),
        (grid(norm=["batch", None], depth=[4, 20]),
         ("batch depth 4", "batch depth 20", "no norm depth 4", "no norm depth 20")),
        (grid(residual=[True, False]), ("residual", "no residual")),
        (grid(lr=[0.1, "tuned"]), ("lr 0.1", "lr tuned")),
        (grid(weight_decay=[0, 1e-05], clip=[None, 1.0]), ("weight_decay 0 no clip", "weight_decay 0 clip 1.0",
                                                          "weight_decay 1e-05 no clip", "weight_decay 1e-05 clip 1.0")),
        (grid(init=[law.normal(std=0.01), law.normal(std=1.0)]), ("normal(std=0.01)", "normal(std=1)")),
        ([Arm(name="plain"), Arm(norm="batch"), Arm(norm="layer", name="ours")], ("plain", "batch", "ours")),
        ([Arm(name="same"), Arm(name="same", depth=5)], ("same (1)", "same (2)")),
        ([Arm()], ("mlp",)),
        ([Arm(model=net), Arm(model=other_net)], ("net", "other_net")),
        ([Arm(model=net, options={"heads": 2}), Arm(model=net)], ("heads 2", "heads default")),
        ([Arm(model=net, options={"act": nn.ReLU}), Arm(model=net, options={"act": nn.Tanh})], ("ReLU", "Tanh")),
        ([Arm(model=partial(net, 4)), Arm()], ("net", "mlp")),
        ([Arm(model=net, options={"norm": "batch"}), Arm(model=net, options={"norm": "layer"})], ("batch", "layer")),
        ([Arm(model=net, options={"at": np.ones(2)}), Arm(model=net, options={"at": np.zeros(2)}), Arm(depth=2)],
         ("net at [1. 1.]", "net at [0. 0.]", "mlp depth 2")),
        ([Arm(model=net, options={"a": "x", "b": "y"}), Arm(model=net, options={"a": "y", "b": "x"})],
         ("a x b y", "a y b x")),
    ],
    ids=lambda value: value[-1] if isinstance(value[0], str) else "",
)  # fmt: skip
def test_a_label_is_what_tells_an_arm_from_the_others(arms: list[Arm], labels: tuple[str, ...]) -> None:
    assert results(arms).labels == labels


def test_equal_numbers_of_other_types_are_no_factor_and_true_is_no_number() -> None:
    assert results([Arm(weight_decay=0), Arm(weight_decay=0.0)]).factors == {}
    flags = [Arm(model=net, options={"flag": True}), Arm(model=net, options={"flag": 1})]
    assert list(results(flags).factors) == ["flag"]


def test_an_option_with_the_name_of_a_field_keeps_its_own() -> None:
    arms = [Arm(model=net, options={"width": 8, "seed": 1}), Arm(model=net, options={"width": 16, "seed": 2})]
    found = results(arms)
    assert found.factors == {"width": (8, 16), "options.seed": (1, 2)}  # of a run there is a seed already
    assert results([*arms, Arm()]).factors["options.width"] == (8, 16, "default")
    assert found.labels == ("width 8 seed 1", "width 16 seed 2")
    assert [row["seed"] for row in found.rows()] == [*SEEDS, *SEEDS]


# -- questions --


def test_a_question_is_one_factor_with_all_others_fixed() -> None:
    found = results(grid(init=["xavier_normal", "he_normal"], activation=["tanh", "relu"], depth=[4, 20]))
    asked = {verdict.question: verdict.arms for verdict in found.verdicts()}
    assert asked == {
        "Does init matter for tanh at depth 4?": (0, 4),
        "Does init matter for tanh at depth 20?": (1, 5),
        "Does init matter for relu at depth 4?": (2, 6),
        "Does init matter for relu at depth 20?": (3, 7),
        "Does activation matter for xavier_normal at depth 4?": (0, 2),
        "Does activation matter for xavier_normal at depth 20?": (1, 3),
        "Does activation matter for he_normal at depth 4?": (4, 6),
        "Does activation matter for he_normal at depth 20?": (5, 7),
        "Does depth matter for xavier_normal, tanh?": (0, 1),
        "Does depth matter for xavier_normal, relu?": (2, 3),
        "Does depth matter for he_normal, tanh?": (4, 5),
        "Does depth matter for he_normal, relu?": (6, 7),
    }
    assert [verdict.question for verdict in found.verdicts("depth")] == [q for q in asked if q.startswith("Does depth")]
    assert found.verdicts("depth")[0].levels == ("depth 4", "depth 20")


def test_one_change_at_a_time_gives_a_question_each() -> None:
    found = results([Arm(), Arm(norm="batch"), Arm(dropout=0.2), Arm(mixup=0.2)])
    assert found.labels == ("default", "batch", "dropout 0.2", "mixup 0.2")
    assert [(v.question, v.arms, v.levels) for v in found.verdicts()] == [
        ("Does norm matter?", (0, 1), ("no norm", "batch")),
        ("Does dropout matter?", (0, 2), ("dropout 0.0", "dropout 0.2")),
        ("Does mixup matter?", (0, 3), ("mixup 0.0", "mixup 0.2")),
    ]


def test_arms_that_are_no_grid_are_compared_as_they_are() -> None:
    found = results([Arm(name="a"), Arm(norm="batch", depth=8), Arm(norm="layer", depth=2)], 0.9, 0.5, 0.9)
    (verdict,) = found.verdicts()
    assert (verdict.question, verdict.levels) == ("Do the arms differ?", ("a", "batch depth 8", "layer depth 2"))
    assert verdict.answer == "matters"
    assert found.verdicts("norm") == ()


def test_an_arm_that_stands_apart_is_compared_with_all() -> None:
    found = results([Arm(), Arm(norm="batch"), Arm(norm="batch", dropout=0.1, mixup=0.2)])
    assert [(v.factor, v.arms) for v in found.verdicts()] == [("norm", (0, 1)), (None, (0, 1, 2))]


def test_one_arm_leaves_no_question() -> None:
    found = results([Arm()])
    assert found.verdicts() == ()
    assert found.factors == {}


# -- numbers --


def test_a_summary_holds_the_statistics_of_the_test_scores() -> None:
    found = results(grid(init=["he_normal", "lsuv"]), 0.9, 0.8)
    scores, summary = found.arms[1].scores, found.summary("lsuv")
    assert (summary.mean, summary.low, summary.high) == mean_interval(scores)
    assert summary.iqm == iqm(scores)
    assert summary.area == pytest.approx(sum(scores) / 3 - 0.15)
    assert (summary.failures, summary.n) == (0, 3)
    assert found.summary(1) == summary


def test_a_failure_counts_with_the_score_of_guessing() -> None:
    good = ArmResult(Arm(), 0.01, (), False, (outcome(0.9), outcome(0.9), outcome(0.9)))
    bad = ArmResult(Arm(init="lsuv"), 0.01, (), True, (outcome(0.9), outcome(0.1, "diverged at step 7"), outcome(0.9)))
    found = Results("digits", "accuracy", 0.1, 300, 0.01, SEEDS, (good, bad))
    assert found.summary(1).failures == 1
    assert found.summary(1).mean == pytest.approx((0.9 + 0.1 + 0.9) / 3)
    (verdict,) = found.verdicts("init")
    assert verdict.failures == (0, 1)
    assert "lsuv failed on 1 of 3 seeds" in verdict.sentence


def test_arms_are_compared_over_common_seeds_as_a_single_pair() -> None:
    found = results(grid(init=["he_normal", "lsuv", "auto"]), 0.9, 0.8, 0.7)
    comparison, expected = found.compare("lsuv", 0), paired(found.arms[1].scores, found.arms[0].scores)
    assert (comparison.a, comparison.b, comparison.pairs) == ("lsuv", "he_normal", 1)
    assert (comparison.difference, comparison.low, comparison.high) == (
        expected.difference,
        expected.low,
        expected.high,
    )
    assert (comparison.wide_low, comparison.adjusted_p) == (pytest.approx(comparison.low), comparison.p)
    other = found.compare(0, 1)
    assert other.difference == -comparison.difference
    assert other.improvement.value == 1 - comparison.improvement.value


def test_the_resolution_of_the_score_reaches_every_comparison() -> None:
    coarse, fine = (results(grid(init=["he_normal", "lsuv"]), resolution=step) for step in (0.5, 0.0))
    assert coarse.compare(0, 1).spread == pytest.approx(0.5 / math.sqrt(6))
    assert fine.compare(0, 1).spread < 0.01
    assert coarse.verdicts()[0].comparisons[0].spread == coarse.compare(0, 1).spread


# -- rows and JSON --


def test_rows_are_flat_and_alike_and_hold_every_run() -> None:
    found = results([Arm(init=law.normal(std=0.01), lr=0.1), Arm(model=net, init=None)])
    rows = list(found.rows())
    assert [(row["arm"], row["seed"]) for row in rows] == [(label, seed) for label in found.labels for seed in SEEDS]
    assert rows[0]["init"] == "normal(std=0.01)"
    assert (rows[3]["init"], rows[3]["model"], rows[3]["lr"]) == (None, "net", 0.01)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert [row["test"] for row in rows[:3]] == list(found.arms[0].scores)
    assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values())


def test_json_holds_arms_runs_and_verdicts_and_is_strict() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    made = results([Arm(init=law.normal(std=0.01)), Arm(model=net, options={"width": 4})], 0.9, 0.5)
    told = json.loads(made.to_json(), parse_constant=refuse)
    assert [arm["label"] for arm in told["arms"]] == list(made.labels)
    assert told["arms"][0]["mean"] == made.summary(0).mean
    assert told["runs"] == list(made.rows())
    assert told["verdicts"][0]["sentence"] == made.verdicts()[0].sentence
    assert told["verdicts"][0]["comparisons"][0]["improvement"] == {
        "value": 1.0,
        "low": pytest.approx(0.4385, abs=1e-4),
        "high": 1.0,
    }
    assert (told["data"], told["margin"], told["seeds"]) == ("digits", 0.01, list(SEEDS))


def test_what_is_not_finite_is_written_as_a_string() -> None:
    once = ArmResult(Arm(), 0.01, ((0.1, math.nan),), False, (outcome(0.1, "diverged at step 1"),))
    told = json.loads(Results("digits", "accuracy", 0.1, 300, 0.01, (0,), (once,)).to_json())
    assert (told["arms"][0]["low"], told["arms"][0]["tried"], told["runs"][0]["loss"]) == (
        "-inf",
        [[0.1, "nan"]],
        "inf",
    )


# -- what is wrong --


def test_errors_name_what_there_is() -> None:
    found = results(grid(init=["he_normal", "lsuv"], depth=[4, 20]))
    with pytest.raises(StudyError, match=r"no arm is called 'he_normal depth 5'\. Did you mean 'he_normal depth 4'\?"):
        found.summary("he_normal depth 5")
    with pytest.raises(StudyError, match="there is no arm 4: expected a number from 0 to 3"):
        found.summary(4)
    with pytest.raises(StudyError, match="'he_normal depth 4' is compared with itself"):
        found.compare(0, "he_normal depth 4")
    with pytest.raises(StudyError, match=r"the arms do not differ in 'dept'\. Did you mean 'depth'\? .* init, depth"):
        found.verdicts("dept")
    with pytest.raises(StudyError, match="has 1 outcomes, not 3: one a seed"):
        Results("digits", "accuracy", 0.1, 300, 0.01, SEEDS, (ArmResult(Arm(), 0.1, (), False, (outcome(0.9),)),))


def test_rows_are_a_data_frame_where_there_is_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    made = results(grid(depth=[1, 2]))
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert made.to_pandas() == list(made.rows())
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(StudyError, match="pip install pandas"):
        made.to_pandas()
