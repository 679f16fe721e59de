"""The answer to a question: it matters, it does not matter, or this many seeds cannot tell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gainstage.study._comparison import LEVEL, Comparison, compare_all
from gainstage.study._power import seeds_needed
from gainstage.study._questions import Question

Answer = Literal["matters", "does not matter", "cannot tell"]
MANY = 1000  # seeds: from here on their number is not told
POWER = 0.8


@dataclass(frozen=True)
class Verdict:
    """What the runs say about a question.

    Attributes:
        question: "Does init matter for relu at depth 20?"
        factor: the field of `Arm` it is about; None where all arms are compared, whatever they differ in.
        where: the levels of the other factors, "for relu at depth 20".
        answer: `"matters"`, `"does not matter"` or `"cannot tell"`.
        sentence: the answer with its numbers.
        best: the level with the largest mean score, the first of equals.
        unbeaten: the levels that none is shown to beat, by more than the margin; `best` is one of them.
        levels: what is compared, in the order of the arms.
        arms: for each level, the number of its arm in `Results.arms`.
        means: for each level, its mean score.
        failures: for each level, on how many seeds it failed.
        comparisons: of every pair.
        seeds_needed: about how many seeds would tell, where these cannot; None where they can, or where more seeds of
            this study would not, or more than 1000.
    """

    question: str
    factor: str | None
    where: str
    answer: Answer
    sentence: str
    best: str
    unbeaten: tuple[str, ...]
    levels: tuple[str, ...]
    arms: tuple[int, ...]
    means: tuple[float, ...]
    failures: tuple[int, ...]
    comparisons: tuple[Comparison, ...]
    seeds_needed: int | None


def judge(
    question: Question,
    scores: Sequence[Sequence[float]],
    *,
    margin: float,
    failures: Sequence[int] | None = None,
    guess: float = -math.inf,
    resolution: float = 0.0,
) -> Verdict:
    r"""Answer a question by the scores of its arms.

    - **does not matter**: the 95 % interval of every pair lies within $\pm$ margin. That all pairs are equivalent is
      one claim which any single pair would refute, so it needs no correction for their number: it is wrong in at most
      2.5 % of studies (intersection-union test).
    - **matters**: for some pair, the difference is above the margin and Holm's p value over all pairs is below 0.05.
      Where no two levels differ, that is said in at most 5 % of studies. The interval that the sentence gives holds
      for all pairs at once (Bonferroni), since the pair was picked after looking.
    - **cannot tell**: neither, or there is one seed, or every run failed. With the number of seeds that would tell in
      about four of five studies if the differences and spreads were as estimated.

    A difference that is significant but certainly smaller than the margin does not matter. The two answers exclude
    each other: a difference lies in its own interval.

    Args:
        question: what is asked.
        scores: for each arm of the question its scores `[n]`, in the order of the seeds.
        margin: the smallest difference that matters, 0 or more; with 0 nothing can be shown not to matter, but for
            scores that are equal on every seed.
        failures: for each arm, on how many seeds it failed.
        guess: the score of guessing; it is told where no level does better.
        resolution: smallest step of a score, see `paired`.

    Returns:
        The verdict.

    Raises:
        StudyError: a score is not finite, or an arm has more of them than another.

    Example:
        >>> question = Question("init", "for relu", (0, 1), ("he_normal", "xavier_normal"))
        >>> judge(question, [[0.96, 0.97, 0.98], [0.60, 0.62, 0.61]], margin=0.01).sentence[:47]
        'init matters for relu: he_normal (0.970) beats '

    References:
        Berger, *Multiparameter hypothesis testing and acceptance sampling*, Technometrics 1982 (intersection-union).
        Schuirmann, *A comparison of the two one-sided tests procedure and the power approach*, 1987 (equivalence).
        Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 1979.
    """
    n = len(scores[0])
    failed = tuple(failures or [0] * len(scores))
    comparisons = compare_all(dict(zip(question.levels, scores, strict=True)), resolution=resolution)
    means = tuple(math.fsum(own) / len(own) for own in scores)
    best = max(range(len(means)), key=means.__getitem__)
    apart = [c for c in comparisons if c.adjusted_p < 1 - LEVEL and abs(c.difference) > margin]
    beaten = {c.b if c.difference > 0 else c.a for c in apart}
    unbeaten = tuple(level for level in question.levels if level not in beaten)
    needed = None
    if sum(failed) == n * len(scores):
        answer: Answer = "cannot tell"
        sentence = f"{_opening(question, answer, n)}: every run failed"
    elif all(c.bound <= margin for c in comparisons):
        answer = "does not matter"
        widest = max(c.bound for c in comparisons)
        sentence = f"{_opening(question, answer, n)}: {_all_are(len(scores))} within {widest:.3f} of each other"
        sentence += f" (95 % intervals, {n} seeds)"
    elif apart:
        answer = "matters"
        shown = _singled_out(apart, question.levels[best])
        sentence = f"{_opening(question, answer, n)}: {_told(shown, dict(zip(question.levels, means, strict=True)))}"
        if also := [level for level in unbeaten if level != shown.a]:
            sentence += f"; not beaten either: {', '.join(also)}"
    else:
        answer = "cannot tell"
        needed = _needed(comparisons, margin, n)
        sentence = f"{_opening(question, answer, n)}: {_undecided(comparisons, needed, margin)}"
    if sum(failed) < n * len(scores):
        if means[best] <= guess + margin:
            sentence += f"; none does better than guessing ({guess:.3f})"
        sentence += "".join(
            f"; {level} failed on {count} of {n} seed{'s' * (n > 1)}"
            for level, count in zip(question.levels, failed, strict=True)
            if count
        )
    return Verdict(
        str(question), question.factor, question.where, answer, sentence, question.levels[best], unbeaten,
        question.levels, question.arms, means, failed, comparisons, needed,
    )  # fmt: skip


def _opening(question: Question, answer: Answer, n: int) -> str:
    """`init matters for relu at depth 20`, and so on."""
    where = question.where and f" {question.where}"
    if answer == "cannot tell":
        asked = f"{question.factor} matters{where}" if question.factor else "the arms differ"
        return f"cannot tell with {n} seed{'s' * (n > 1)} whether {asked}"
    if question.factor is None:
        return "the arms differ" if answer == "matters" else "the arms do not differ"
    return f"{question.factor} {answer}{where}"


def _singled_out(apart: Sequence[Comparison], best: str) -> Comparison:
    """The widest difference, rather one whose interval over all pairs excludes zero, and one with the best level."""
    found = max(
        apart,
        key=lambda c: (c.wide_low > 0 or c.wide_high < 0, best in (c.a, c.b), abs(c.difference)),
    )
    return found if found.difference > 0 else found.swapped


def _told(shown: Comparison, means: dict[str, float]) -> str:
    many = f", Holm over {shown.pairs} pairs" if shown.pairs > 1 else ""
    return (
        f"{shown.a} ({means[shown.a]:.3f}) beats {shown.b} ({means[shown.b]:.3f}) by {shown.difference:.3f} "
        f"(95 % interval {shown.wide_low:.3f} to {shown.wide_high:.3f}, {shown.n} seeds{many})"
    )


def _all_are(k: int) -> str:
    return "both are" if k == 2 else f"all {k} are"


def _undecided(comparisons: Sequence[Comparison], needed: int | None, margin: float) -> str:
    widest = max(comparisons, key=lambda c: abs(c.difference))
    if widest.n == 1:
        return "one run of each says nothing about chance; run at least 3 seeds"
    half = (widest.wide_high - widest.wide_low) / 2
    told = f"the widest difference is {abs(widest.difference):.3f} ± {half:.3f}"
    if needed is not None:
        return f"{told}; about {needed} seeds would tell"
    if margin == 0:
        return f"{told}; that it does not matter takes a margin above 0 to show"
    return f"{told}; more than {MANY} seeds would be needed"


def _needed(comparisons: Sequence[Comparison], margin: float, n: int) -> int | None:
    """How many seeds would tell if differences and spreads were as estimated; None for more than `MANY`.

    Pairs further apart than the margin want significance, one of them is enough; where there are none, all pairs want
    their interval within the margin.
    """
    if n == 1:
        return None
    family = 1 - (1 - LEVEL) / len(comparisons)
    apart = [c for c in comparisons if abs(c.difference) > margin]
    if apart:
        found = min(seeds_needed(c.spread, abs(c.difference), level=family, power=POWER) for c in apart)
    elif any(abs(c.difference) >= margin for c in comparisons):
        return None
    else:
        both = (1 + POWER) / 2  # an interval can reach beyond the margin on either side
        found = max(seeds_needed(c.spread, margin - abs(c.difference), power=both) for c in comparisons)
    return max(found, n + 1) if found <= MANY else None
