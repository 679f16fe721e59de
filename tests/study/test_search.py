"""Arms that a sampler chooses."""

import sys
from typing import Any

import optuna
import pytest

from gainstage.study import Serial, StudyError, search

GIVEN: dict[str, Any] = {"data": "iris", "seeds": 1, "steps": 20, "run": {"executor": Serial()}}


def test_it_learns_from_what_it_is_told_and_runs_no_arm_twice() -> None:
    """Of two starts of which one cannot train, it soon asks for the other alone; of two arms there are two results."""
    told: list[str] = []

    class Seen(optuna.samplers.TPESampler):
        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            told.append(("he_normal", "zeros")[trial.params["init"]])

    before = optuna.logging.get_verbosity()
    space = {"init": ["he_normal", "zeros"], "lr": 0.05, "depth": 2, "width": 8}
    found = search(space, arms=24, batch=4, sampler=Seen(seed=0, n_startup_trials=8), **GIVEN)
    assert len(found.arms) == 2
    assert len(told) == 24
    assert told[12:].count("he_normal") > told[12:].count("zeros")
    assert found.summary("he_normal").mean > found.summary("zeros").mean
    assert optuna.logging.get_verbosity() == before


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"depth": []}, "the space is empty"),
        ({"depth": (3, 1)}, "expected .low, high."),
        ({"lr": (0.0, 0.1)}, "logarithmic"),
        ({"dpeth": (1, 3)}, "dpeth"),
    ],
)
def test_slips_are_told(space: dict[str, Any], said: str) -> None:
    with pytest.raises((StudyError, TypeError), match=said):
        search(space, arms=1, **GIVEN)


def test_without_optuna_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(StudyError, match=r"pip install .gainstage.search"):
        search({"depth": (1, 2)}, **GIVEN)
