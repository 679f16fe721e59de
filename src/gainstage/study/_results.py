"""What a study found: the outcomes of every arm, and what can be said about them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any

from gainstage._columns import columns
from gainstage._notebook import folded
from gainstage._visible import visible
from gainstage.study._arm import nearest
from gainstage.study._comparison import Comparison, compare_all
from gainstage.study._errors import StudyError
from gainstage.study._measured import Measured
from gainstage.study._questions import questions
from gainstage.study._trial import told
from gainstage.study._verdict import Verdict, judge
from gainstage.study.figures import plot
from gainstage.study.labels import text


@dataclass(frozen=True)
class Results(Measured):
    """What a study found.

    Attributes: those of `Measured`.

    Example:
        >>> from gainstage.study import ArmResult, Outcome, grid
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

    def to_pandas(self) -> Any:
        """The `rows` as a `pandas.DataFrame`.

        Raises:
            StudyError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise StudyError("a data frame needs pandas. Write: pip install pandas") from None
        return pandas.DataFrame(list(self.rows()))

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

    def __str__(self) -> str:
        """What can be said, and a line an arm: its mean score and interval."""
        said = [f"{verdict.sentence}." for verdict in self.verdicts()]
        tuned = any(each.lr for each in self.arms)  # a training of one's own may have no rate
        rows = []
        for i, label in enumerate(self.labels):
            own = self.summary(i)
            rate = (f"{self.arms[i].lr:.2g}",) if tuned else ()
            rows.append((label, *rate, f"{own.mean:.3f}", f"± {own.high - own.mean:.3f}" if own.n > 1 else "1 seed"))
        heads = ("arm", *(("rate",) if tuned else ()), self.score, "95 %")
        table = columns(heads, rows, numbers=range(1, len(heads)), width=80)
        lines = [fill(line, 80, subsequent_indent="  ") for line in said]
        return visible("\n".join([*lines, table]), keep="\n")

    def _repr_html_(self) -> str:
        """In a notebook: what was studied, the verdicts, and folded every arm's scores."""
        verdicts = [(verdict.sentence, str(verdict)) for verdict in self.verdicts()]
        scores = "\n".join(
            f"{label}: {' '.join(f'{score:.4g}' for score in each.scores)}"
            for label, each in zip(self.labels, self.arms, strict=True)
        )
        head = f"{self.data}, {self.score}: {len(self.arms)} arms, {len(self.seeds)} seeds"
        return folded(head, [*verdicts, (f"{self.score} of each run", scores)])

    def plot(self, kind: str = "scores", ax: Any = None, **options: Any) -> Any:
        """Draw the scores with their intervals, the learning `"curves"`, the `"differences"` from one arm beside the
        margin, or a `"heatmap"` of two factors.

        Args:
            kind: which of the four.
            ax: matplotlib axes; new ones by default.
            options: `arms` and `names` of the first two, `to` of the third, `rows` and `columns` of the last.

        Returns:
            The matplotlib axes.
        """
        return plot(self, kind, ax, **options)


def _flat(value: Any) -> str | int | float | bool | None:
    return value if isinstance(value, str | int | float | bool | None) else text(value)


def _jsonable(value: Any) -> Any:
    value = value._asdict() if hasattr(value, "_asdict") else value
    if isinstance(value, dict):
        return {name: _jsonable(each) for name, each in value.items()}
    return [_jsonable(each) for each in value] if isinstance(value, list | tuple) else told(value)
