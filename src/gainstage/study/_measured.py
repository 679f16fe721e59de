"""What became of every arm of a study: the numbers that verdicts, charts and reports are made of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gainstage.study._arm import Arm, nearest
from gainstage.study._errors import StudyError
from gainstage.study._statistics import iqm, mean_interval
from gainstage.study._trial import Outcome
from gainstage.study.labels import identities, labels, settings


@dataclass(frozen=True)
class ArmResult:
    """What became of one arm.

    Attributes:
        arm: as it was asked for: its `lr` may be `"tuned"`.
        lr: the learning rate that was used.
        tried: pairs of a rate and its mean score on the validation part; empty where the rate was given.
        at_edge: the best rate is the smallest or the largest that was tried, so a better one may lie beyond.
        outcomes: one a seed, in the order of `Measured.seeds`.
    """

    arm: Arm
    lr: float
    tried: tuple[tuple[float, float], ...]
    at_edge: bool
    outcomes: tuple[Outcome, ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """The score of each seed on the test part; that of guessing where the run failed."""
        return tuple(outcome.test for outcome in self.outcomes)

    @property
    def failures(self) -> int:
        """On how many seeds the run failed."""
        return sum(outcome.failed is not None for outcome in self.outcomes)


@dataclass(frozen=True)
class Summary:
    """One arm over its seeds.

    Attributes:
        mean: of the test scores.
        low: lower end of the 95 % t interval of the mean; minus infinity with one seed.
        high: upper end.
        iqm: mean of the middle half of the test scores.
        area: mean over the seeds of the area under the learning curve.
        failures: number of seeds on which the run failed; they count with the score of guessing.
        n: number of seeds.
    """

    mean: float
    low: float
    high: float
    iqm: float
    area: float
    failures: int
    n: int


@dataclass(frozen=True)
class Measured:
    """The arms of a study with their outcomes.

    Attributes:
        data: name of the data.
        score: what is compared, `"accuracy"` or `"R²"`.
        guess: the score of the best constant guess; a run that failed counts with it.
        steps: updates of every run.
        margin: the smallest difference in score that matters to the user.
        seeds: of the runs; every arm has all of them.
        arms: what became of each arm.
        resolution: smallest step of the score, one over the number of test samples for an accuracy, 0 for an R²: no
            spread is taken to be smaller than such a score can show.
    """

    data: str
    score: str
    guess: float
    steps: int
    margin: float
    seeds: tuple[int, ...]
    arms: tuple[ArmResult, ...]
    resolution: float = 0.0

    def __post_init__(self) -> None:
        for each in self.arms:
            if len(each.outcomes) != len(self.seeds):
                raise StudyError(f"{each.arm} has {len(each.outcomes)} outcomes, not {len(self.seeds)}: one a seed")

    @cached_property
    def settings(self) -> tuple[dict[str, Any], ...]:
        """For each arm, its level of every factor: of all fields in which the arms differ."""
        return settings([each.arm for each in self.arms])

    @cached_property
    def factors(self) -> dict[str, tuple[Any, ...]]:
        """The fields and options in which the arms differ, each with its levels in order of appearance."""
        same = identities([each.arm for each in self.arms])
        names = self.settings[0] if self.settings else ()
        return {
            name: tuple({s[name]: own[name] for s, own in zip(same, self.settings, strict=True)}.values())
            for name in names
        }

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What tells each arm from the others; its name where it has one."""
        return labels([each.arm for each in self.arms])

    def index(self, arm: int | str) -> int:
        """The number of an arm, from its number or label.

        Raises:
            StudyError: there is no such arm.
        """
        if isinstance(arm, str):
            if arm not in self.labels:
                known = ", ".join(map(repr, self.labels))
                raise StudyError(f"no arm is called {arm!r}.{nearest(arm, self.labels)} There are: {known}.")
            return self.labels.index(arm)
        if not 0 <= arm < len(self.arms):
            raise StudyError(f"there is no arm {arm}: expected a number from 0 to {len(self.arms) - 1}, or a label.")
        return arm

    def summary(self, arm: int | str) -> Summary:
        """Mean, interval, interquartile mean, area and failures of one arm, given by its number or label."""
        each = self.arms[self.index(arm)]
        mean, low, high = mean_interval(each.scores)
        area = sum(outcome.area for outcome in each.outcomes) / len(each.outcomes)
        return Summary(mean, low, high, iqm(each.scores), area, each.failures, len(each.scores))
