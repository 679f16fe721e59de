"""What a study found: the outcomes of every arm, and what can be said about them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from gainstage.study._arm import Arm, nearest
from gainstage.study._comparison import Comparison, compare_all
from gainstage.study._errors import StudyError
from gainstage.study._labels import identities, labels, settings, text
from gainstage.study._questions import questions
from gainstage.study._statistics import iqm, mean_interval
from gainstage.study._trial import Outcome, told
from gainstage.study._verdict import Verdict, judge


@dataclass(frozen=True)
class ArmResult:
    """What became of one arm.

    Attributes:
        arm: as it was asked for: its `lr` may be `"tuned"`.
        lr: the learning rate that was used.
        tried: pairs of a rate and its mean score on the validation part; empty where the rate was given.
        at_edge: the best rate is the smallest or the largest that was tried, so a better one may lie beyond.
        outcomes: one a seed, in the order of `Results.seeds`.
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
class Results:
    """What a study found.

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

    Example:
        >>> from gainstage.study._arm import grid
        >>> from gainstage.study._trial import Outcome
        >>> def ran(*scores):
        ...     return tuple(Outcome(None, (), score, score, 0.1, 1.0, "alone") for score in scores)
        >>> he, zeros = (arm for arm in grid(init=["he_normal", "zeros"], activation="relu"))
        >>> results = Results("digits", "accuracy", 0.1, 300, 0.01, (0, 1, 2), (
        ...     ArmResult(he, 0.01, (), False, ran(0.96, 0.97, 0.97)),
        ...     ArmResult(zeros, 0.01, (), False, ran(0.10, 0.10, 0.10))))
        >>> results.labels
        ('he_normal', 'zeros')
        >>> print(results.verdicts()[0].sentence)
        init matters: he_normal (0.967) beats zeros (0.100) by 0.867 (95 % interval 0.852 to 0.881, 3 seeds)
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

    def compare(self, a: int | str, b: int | str) -> Comparison:
        """Two arms over their common seeds, as the only pair that is looked at.

        Raises:
            StudyError: there is no such arm, or it is compared with itself.
        """
        i, j = self.index(a), self.index(b)
        if i == j:
            raise StudyError(f"{self.labels[i]!r} is compared with itself: give two different arms.")
        scores = {self.labels[k]: self.arms[k].scores for k in (i, j)}
        return compare_all(scores, resolution=self.resolution)[0]

    def verdicts(self, factor: str | None = None) -> tuple[Verdict, ...]:
        """What can be said about every question: one factor, with all others held fixed.

        Args:
            factor: of `factors`; all of them by default, and "do the arms differ?" where an arm is in no question.

        Returns:
            The verdicts, see `judge`; none where there is nothing to compare.

        Raises:
            StudyError: the arms do not differ in this factor.
        """
        if factor is not None and factor not in self.factors:
            raise StudyError(
                f"the arms do not differ in {factor!r}.{nearest(factor, self.factors)} "
                f"They differ in: {', '.join(self.factors) or 'nothing'}."
            )
        asked = questions([each.arm for each in self.arms], factor)
        return tuple(
            judge(
                question,
                scores=[self.arms[i].scores for i in question.arms],
                failures=[self.arms[i].failures for i in question.arms],
                margin=self.margin,
                guess=self.guess,
                resolution=self.resolution,
            )
            for question in asked
        )

    def rows(self) -> Iterator[dict[str, str | int | float | bool | None]]:
        """A flat row a run: the arm, its level of every factor, the seed, the scores. All have the same columns."""
        for label, setting, each in zip(self.labels, self.settings, self.arms, strict=True):
            levels = {name: _flat(value) for name, value in setting.items() if name != "lr"}
            for seed, outcome in zip(self.seeds, each.outcomes, strict=True):
                yield {
                    "arm": label, **levels, "lr": each.lr, "seed": seed, "test": outcome.test,
                    "validation": outcome.validation, "loss": outcome.loss, "area": outcome.area,
                    "failed": outcome.failed, "seconds": outcome.seconds, "engine": outcome.engine,
                }  # fmt: skip

    def to_json(self) -> str:
        """All of it as JSON: the arms and their summaries, the runs, the verdicts.

        Numbers that are not finite are written as strings.
        """
        arms = [
            {"label": label, "arm": each.arm.key(), "lr": each.lr, "tried": each.tried, "at_edge": each.at_edge}
            | asdict(self.summary(i))
            for i, (label, each) in enumerate(zip(self.labels, self.arms, strict=True))
        ]
        values = {name: getattr(self, name) for name in ("data", "score", "guess", "steps", "margin", "resolution")}
        values |= {"seeds": self.seeds, "arms": arms, "runs": list(self.rows())}
        return json.dumps(_jsonable(values | {"verdicts": [asdict(v) for v in self.verdicts()]}), allow_nan=False)

    def plot(self, kind: str = "scores", ax: Any = None, **options: Any) -> Any:
        """Draw the scores with their intervals, the learning `"curves"`, or a `"heatmap"` of two factors.

        Args:
            kind: which of the three.
            ax: matplotlib axes; new ones by default.
            options: `arms` and `names` of the first two, `rows` and `columns` of the last.

        Returns:
            The matplotlib axes.
        """
        from gainstage.study._figures import plot

        return plot(self, kind, ax, **options)


def _flat(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else text(value)


def _jsonable(value: Any) -> Any:
    value = value._asdict() if hasattr(value, "_asdict") else value
    if isinstance(value, dict):
        return {name: _jsonable(each) for name, each in value.items()}
    return [_jsonable(each) for each in value] if isinstance(value, list | tuple) else told(value)
