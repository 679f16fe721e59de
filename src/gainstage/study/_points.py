"""The points of learning curves over seeds: what the charts draw, as rows."""

from dataclasses import dataclass

from gainstage.study._measured import Measured
from gainstage.study._statistics import mean_interval


@dataclass(frozen=True)
class Point:
    """One arm at one step.

    Attributes:
        step: number of updates that were made.
        mean: of the score on the validation part, over the seeds.
        low: lower end of its 95 % t interval; the mean where there is one seed.
        high: upper end; likewise.
    """

    step: int
    mean: float
    low: float
    high: float


def bands(results: Measured, arm: int | str) -> tuple[Point, ...]:
    """The learning curve of an arm; a run that failed counts with the score of guessing from then on.

    Args:
        results: of a study.
        arm: its number or label.

    Returns:
        A point for each look at the runs, in order of time.
    """
    curves = [outcome.curve for outcome in results.arms[results.index(arm)].outcomes]
    made = []
    for looks in zip(*curves, strict=False):  # a run that lost its worker has no curve
        mean, low, high = mean_interval([look.score for look in looks])
        single = len(looks) == 1
        made.append(Point(looks[0].step, mean, mean if single else low, mean if single else high))
    return tuple(made)
