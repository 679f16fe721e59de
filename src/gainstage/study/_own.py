"""Studies of a training that is not ours: any function of an arm and a seed that returns a score."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from gainstage._visible import shown
from gainstage.study._arm import Arm
from gainstage.study._errors import StudyError
from gainstage.study._trial import Look, Outcome, Trial

Train = Callable[[dict[str, Any], int], float | Sequence[float]]


@dataclass(frozen=True)
class OwnTask:
    """One call of the user's function.

    Attributes:
        trials: the one trial.
        train: the function.
        guess: the score with which a run counts that has none.
    """

    trials: tuple[Trial, ...]
    train: Train
    guess: float


def arm_of(settings: Mapping[str, Any], train: Train) -> Arm:
    """The arm of a dict of settings; its `lr`, if it has one, is the arm's own and may be `"tuned"`."""
    options = {name: value for name, value in settings.items() if name != "lr"}
    return Arm(model=train, options=options, lr=settings.get("lr", 0.0))  # type: ignore[arg-type]


def run_own(task: OwnTask) -> tuple[Outcome, ...]:
    """Call the function, and say what became of it.

    Raises:
        StudyError: it raised, or returned no score; the message names the arm and the seed.
    """
    (trial,) = task.trials
    arm = dict(trial.arm.options) | ({"lr": trial.arm.lr} if trial.arm.lr else {})
    said, began = f"train({arm}, {trial.seed})", time.perf_counter()
    try:
        returned = task.train(arm, trial.seed)
    except Exception as error:
        raise StudyError(f"{said} raised {type(error).__name__}: {error}") from error
    curve = _scores(returned, said)
    seconds, failed = time.perf_counter() - began, None
    score = curve[-1]
    if not isfinite(score):
        if not isfinite(task.guess):
            raise StudyError(
                f"{said} returned {score}, which is no score. A run that may fail needs one to count with: "
                "Study(guess=...), that of a model that has learned nothing."
            )
        failed, score = f"the score is {score}", task.guess
    looks = tuple(Look(i + 1, float("nan"), -value, value) for i, value in enumerate(curve)) if len(curve) > 1 else ()
    return (Outcome(failed, looks, score, score, -score, seconds, "by your function"),)


def _scores(returned: Any, said: str) -> list[float]:
    try:
        curve = [float(value) for value in returned] if hasattr(returned, "__iter__") else [float(returned)]
    except (TypeError, ValueError):
        curve = []
    if not curve:
        raise StudyError(
            f"{said} returned {shown(returned)}: expected a score, or the scores of a curve, last at the end."
        )
    return curve
