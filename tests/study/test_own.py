"""A study of a training that is not ours."""

import math
import random
from pathlib import Path
from typing import Any

import pytest

import gainstage as gs
from gainstage.report.study import study_html, study_text
from gainstage.study import Serial, Study, StudyError

CALLS: list[tuple[str, int]] = []


def train(arm: dict[str, Any], seed: int) -> float:
    """Better with a larger width, best at a rate of 0.1; the seed moves all arms alike."""
    CALLS.append((str(arm), seed))
    noise = random.Random(seed).gauss(0, 0.02)
    return 0.1 * arm["width"] - (math.log10(arm.get("lr", 0.1)) + 1) ** 2 + noise


def diverges(arm: dict[str, Any], seed: int) -> float:
    return math.nan if arm["width"] == 2 else 1.0


def test_a_function_of_arm_and_seed_is_a_study() -> None:
    study = Study(train=train, arms=[{"width": w} for w in (1, 2)], seeds=4, margin=0.05, score="reward")
    results = study.run(executor=Serial())
    assert results.labels == ("width 1", "width 2")
    assert results.summary(1).mean - results.summary(0).mean == pytest.approx(0.1)
    (verdict,) = results.verdicts("width")
    assert verdict.sentence.startswith("width matters: width 2 ")
    text = study_text(results)
    assert "Reward, as your function returned it" in text
    assert "steps" not in text.split("\n\n")[0]
    assert "Guessing" not in text
    assert "inf" not in study_html(results)
    assert results.plot("scores")


def test_its_rate_is_tuned_with_seeds_that_are_not_reported(tmp_path: Path) -> None:
    arms = [{"width": 1, "lr": "tuned"}, {"width": 3, "lr": 0.1}]
    study = Study(train=train, arms=arms, seeds=2, rates=[0.01, 0.1, 1.0])
    CALLS.clear()
    results = study.run(executor=Serial(), store=tmp_path / "s.db")
    assert [each.lr for each in results.arms] == [0.1, 0.1]
    assert {seed for _, seed in CALLS} == {0, 1, 1_000_000}
    CALLS.clear()
    again = study.run(executor=Serial(), store=tmp_path / "s.db")
    assert CALLS == []
    assert [each.scores for each in again.arms] == [each.scores for each in results.arms]


def test_processes_give_the_same_numbers() -> None:
    def curve(arm: dict[str, Any], seed: int) -> list[float]:  # of no module that a worker would have to import
        return [0.1, 0.5, 0.5 + arm["width"] / 100 + seed / 1e6]

    study = Study(train=curve, arms=[{"width": w} for w in (1, 2)], seeds=2)
    one, two = study.run(executor=Serial()), study.run()
    assert [each.scores for each in one.arms] == [each.scores for each in two.arms]
    assert [look.score for look in one.arms[0].outcomes[0].curve] == [0.1, 0.5, 0.51]


def test_what_has_no_score_counts_with_that_of_guessing_or_is_refused() -> None:
    arms = [{"width": w} for w in (1, 2)]
    results = Study(train=diverges, arms=arms, seeds=2, guess=0.1).run(executor=Serial())
    assert results.arms[1].failures == 2
    assert results.arms[1].scores == (0.1, 0.1)
    with pytest.raises(StudyError, match=r"train\(\{'width': 2\}, 0\) returned nan.*guess="):
        Study(train=diverges, arms=arms, seeds=2).run(executor=Serial())
    for wrong, said in [(lambda a, s: None, "returned None"), (lambda a, s: [], "expected a score"), (len, "raised")]:
        with pytest.raises(StudyError, match=said):
            Study(train=wrong, arms=arms, seeds=1).run(executor=Serial())
    with pytest.raises(StudyError, match="every arm is a dict"):
        Study(train=train, arms=[gs.Arm()])
    with pytest.raises(StudyError, match=r"Study\(train"):
        Study(arms=[{"width": 1}])
    with pytest.raises(StudyError, match="arms 0 and 1 are the same"):
        Study(train=train, arms=[{"width": 1}, {"width": 1}])
