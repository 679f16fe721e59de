"""Two arms side by side, alone or among all pairs of a question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from gainstage.study._improvement import Improvement, probability_of_improvement
from gainstage.study._statistics import holm, paired

LEVEL = 0.95


@dataclass(frozen=True)
class Comparison:
    r"""Two arms over their common seeds.

    Attributes:
        a: label of the one.
        b: label of the other.
        difference: mean score of `a` minus that of `b`.
        low: lower end of the 95 % t interval of this difference alone.
        high: upper end.
        p: of the paired t test of this pair alone.
        pairs: number of pairs that are compared for the same question.
        adjusted_p: Holm's, over these pairs.
        wide_low: lower end of the interval at level $1 - 0.05 / \text{pairs}$ (Bonferroni): with 95 % confidence those
            of all pairs hold at once, so that any of them may be singled out after looking.
        wide_high: upper end.
        improvement: how likely a run of `a` scores above one of `b`.
        spread: standard deviation of the difference between seeds.
        n: number of seeds.
    """

    a: str
    b: str
    difference: float
    low: float
    high: float
    p: float
    pairs: int
    adjusted_p: float
    wide_low: float
    wide_high: float
    improvement: Improvement
    spread: float
    n: int

    @property
    def bound(self) -> float:
        """The largest size of the difference that its own 95 % interval allows."""
        return max(abs(self.low), abs(self.high))

    @property
    def swapped(self) -> "Comparison":
        """The same, told from the other side."""
        return Comparison(
            self.b, self.a, -self.difference, -self.high, -self.low, self.p, self.pairs, self.adjusted_p,
            -self.wide_high, -self.wide_low, _swapped(self.improvement),
            self.spread, self.n,
        )  # fmt: skip


def compare_all(scores: Mapping[str, Sequence[float]], *, resolution: float = 0.0) -> tuple[Comparison, ...]:
    """Every pair of arms, with p values and intervals that hold over all of them.

    Args:
        scores: for each label the scores `[n]`, one a seed, in the same order of seeds.
        resolution: smallest step of a score; see `paired`.

    Returns:
        The comparisons, the earlier arm as `a`.

    Example:
        >>> found = compare_all({"x": [0.9, 0.8, 0.9], "y": [0.5, 0.4, 0.4], "z": [0.5, 0.5, 0.4]})
        >>> [(c.a, c.b, round(c.difference, 2), c.pairs) for c in found]
        [('x', 'y', 0.43, 3), ('x', 'z', 0.4, 3), ('y', 'z', -0.03, 3)]
    """
    names = list(combinations(scores, 2))
    found = [paired(scores[a], scores[b], resolution=resolution) for a, b in names]
    adjusted = holm([each.p for each in found])
    made = []
    for (a, b), each, p in zip(names, found, adjusted, strict=True):
        wide_low, wide_high = each.interval(1 - (1 - LEVEL) / len(names))
        improvement = probability_of_improvement(scores[a], scores[b])
        made.append(
            Comparison(
                a, b, each.difference, each.low, each.high, each.p, len(names), p, wide_low, wide_high, improvement,
                each.spread, each.n,
            )
        )  # fmt: skip
    return tuple(made)


def _swapped(improvement: Improvement) -> Improvement:
    return Improvement(1 - improvement.value, 1 - improvement.high, 1 - improvement.low)
