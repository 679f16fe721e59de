"""How the arms of a study are laid out: a table for every question, where they are a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.study import Results


@dataclass(frozen=True)
class Block:
    """A table of arms.

    Attributes:
        where: the levels that its arms share, `"tanh, depth 3"`; empty where all arms are in one table.
        columns: the levels that tell its columns apart, `("depth 3", "depth 20")`; `("",)` for a single column.
        rows: a label, and for each column the number of the arm.
    """

    where: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def blocks(results: "Results", *, columns: int = 1) -> tuple[Block, ...]:
    """The tables of a study.

    Where the arms are all combinations of two or more factors, the rows of every table are the levels of the first
    factor, and there is a table for each combination of the others. Other arms are rows of one table.

    Args:
        results: of the study.
        columns: most columns of a table: another factor with 2 to so many levels has its levels side by side.

    Returns:
        The tables, all arms in them once.
    """
    from gainstage.study.labels import phrase

    factors = results.factors
    if not is_grid(results):
        return (Block("", ("",), tuple((label, (i,)) for i, label in enumerate(results.labels))),)
    first, *others = factors
    across = next((name for name in reversed(others) if 2 <= len(factors[name]) <= columns), None)
    fixed = [name for name in others if name != across]
    side = range(len(factors[across])) if across else range(1)
    made = []
    numbers = _numbers(results)
    for combination in product(*(range(len(factors[name])) for name in fixed)):
        levels = dict(zip(fixed, combination, strict=True))
        rows = tuple(
            (
                phrase(first, level),
                tuple(numbers[_place(factors, {first: row, **levels} | ({across: i} if across else {}))] for i in side),
            )
            for row, level in enumerate(factors[first])
        )
        where = ", ".join(phrase(name, factors[name][i]) for name, i in levels.items())
        heads = tuple(phrase(across, level) for level in factors[across]) if across else ("",)
        made.append(Block(where, heads, rows))
    return tuple(made)


def is_grid(results: "Results") -> bool:
    """Two factors or more, every combination of their levels is there once, and no arm has a name of its own."""
    named = any(each.arm.name for each in results.arms)
    if named or len(results.factors) < 2:
        return False
    return len(_numbers(results)) == len(results.arms) == prod(map(len, results.factors.values()))


def _numbers(results: "Results") -> dict[tuple[int, ...], int]:
    """The number of the arm at each combination of levels, which are counted."""
    from gainstage.study.labels import identities

    same = identities([each.arm for each in results.arms])
    order = {name: list(dict.fromkeys(own[name] for own in same)) for name in results.factors}
    return {tuple(order[name].index(own[name]) for name in order): number for number, own in enumerate(same)}


def _place(factors: "dict[str, tuple[object, ...]]", chosen: dict[str, int]) -> tuple[int, ...]:
    return tuple(chosen[name] for name in factors)


def best(results: "Results", arms: Sequence[int]) -> int | None:
    """The arm with the highest mean score, the first of equals; None where no arm does better than guessing."""
    means = {i: results.summary(i).mean for i in arms}
    found = max(means, key=lambda i: means[i])
    return found if means[found] > results.guess + results.margin else None


def best_and_like(results: "Results") -> tuple[set[int], set[int]]:
    """The best arm of every table, and the arms of the same table that are not told apart from it.

    Not told apart: Holm's p of the paired difference, over all pairs of the table, is 0.05 or more.
    """
    asked = {frozenset(verdict.arms): verdict for verdict in results.verdicts()}
    tops: set[int] = set()
    like: set[int] = set()
    for block in blocks(results):
        arms = [arm for _, each in block.rows for arm in each]
        if (top := best(results, arms)) is None:
            continue
        tops.add(top)
        verdict = asked.get(frozenset(arms))
        if verdict is not None and len(results.seeds) > 1:
            number = dict(zip(verdict.levels, verdict.arms, strict=True))
            pairs = [(number[c.a], number[c.b]) for c in verdict.comparisons if c.adjusted_p >= 0.05]
            like |= {a + b - top for a, b in pairs if top in (a, b)}
    return tops, like
