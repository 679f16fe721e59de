"""Results of studies, made by hand: the writers and the charts are tested without training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gainstage.study import ArmResult, Results
from gainstage.study._arm import Arm, grid
from gainstage.study._trial import Look, Outcome
from gainstage.study.claims import CONSTANT, LARGE, RECOMMENDED, SMALL

RATES = (1e-4, 3.2e-4, 1e-3, 3.2e-3, 1e-2)
GUESS = 0.1


def outcome(
    test: float, *, failed: str | None = None, looks: int = 4, engine: str = "as one with 39 others"
) -> Outcome:
    """An outcome whose curve rises from guessing to a bit below its test score."""
    end = GUESS if failed else test
    curve = tuple(
        Look(25 * (i + 1), 2.3 - 0.4 * i, 2.3 - 0.5 * i, GUESS + (end - 0.01 - GUESS) * (i + 1) / looks)
        for i in range(looks)
    )
    return Outcome(failed, curve, end - 0.01, end, float("inf") if failed else 0.3, 1.5, engine)


def arm_result(arm: Arm, scores: Sequence[float], *, failures: int = 0, edge: bool = False) -> ArmResult:
    """An arm with these test scores; the first `failures` runs failed."""
    tuned = arm.lr == "tuned"
    made = [outcome(GUESS, failed="diverged at step 3") for _ in range(failures)]
    made += [outcome(score) for score in scores[failures:]]
    lr = (RATES[-1] if edge else 1e-3) if tuned else float(arm.lr)
    return ArmResult(arm, lr, tuple((rate, 0.5) for rate in RATES) if tuned else (), edge, tuple(made))


def results_of(arms: Sequence[ArmResult], **changes: Any) -> Results:
    """Results on digits with 360 test samples."""
    seeds = tuple(range(len(arms[0].outcomes)))
    made = Results("digits", "accuracy", GUESS, 100, 0.01, seeds, tuple(arms), resolution=1 / 360)
    return replace(made, **changes)


def spread(mean: float, width: float = 0.01, n: int = 5) -> list[float]:
    """`n` scores around a mean, evenly from `mean - width` to `mean + width`."""
    return [mean + width * (2 * k / max(n - 1, 1) - 1) for k in range(n)]


def small() -> Results:
    """Three starts at two depths: one fails once, one never learns, one has its rate at the end of the grid."""
    scores = {
        ("he_normal", 4): {"scores": spread(0.97, 0.004)},
        ("he_normal", 20): {"scores": spread(0.93, 0.01), "edge": True},
        ("xavier_normal", 4): {"scores": spread(0.968, 0.003)},
        ("xavier_normal", 20): {"scores": spread(0.61, 0.08), "failures": 2},
        ("zeros", 4): {"scores": [0.1] * 5, "edge": True},
        ("zeros", 20): {"scores": [0.1] * 5, "failures": 5},
    }
    arms = grid(init=["he_normal", "xavier_normal", "zeros"], depth=[4, 20])
    return results_of([arm_result(arm, **scores[str(arm.init), arm.depth]) for arm in arms])


INITS = ("xavier_normal", "he_normal", "lecun_normal", "auto", SMALL, LARGE, "zeros", CONSTANT)


def textbook_like(score: Callable[[Arm], Sequence[float]] | None = None) -> Results:
    """The arms of `textbook()` with made-up scores."""
    worth = dict(zip(INITS, (0.95, 0.94, 0.951, 0.96, 0.7, 0.3, 0.1, 0.15), strict=True))

    def told(arm: Arm) -> Sequence[float]:
        lost = 0.1 if arm.depth > 3 and arm.init != "auto" else 0.0
        lost += 0.2 if arm.activation == "relu" and arm.init == "xavier_normal" and arm.depth > 3 else 0.0
        return spread(max(worth[str(arm.init)] - lost, 0.1), 0.008)

    arms = grid(init=list(INITS), activation=list(RECOMMENDED), depth=[3, 20])
    return results_of([arm_result(arm, (score or told)(arm)) for arm in arms])
