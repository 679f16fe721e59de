"""Walks over the sites of a tape that several facts and rules share."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence


def walk(starts: Iterable[int], step: Callable[[int], Iterable[int]]) -> Iterator[int]:
    """The starts and every site that steps from them reach, each once.

    Example:
        >>> list(walk([4], lambda site: [site // 2, 0]))
        [4, 0, 2, 1]
    """
    todo = list(dict.fromkeys(starts))
    seen = set(todo)
    while todo:
        current = todo.pop()
        yield current
        fresh = [site for site in dict.fromkeys(step(current)) if site not in seen]
        seen.update(fresh)
        todo += fresh


def fewest_weights(evidence: "Evidence", starts: Iterable[int]) -> int:
    """How many weights the shortest path from these sites to an output or the loss leads through."""
    sites, begin = evidence.tape.sites, set(starts)
    fewest: dict[int, int] = dict.fromkeys(begin, 0)
    for site in sites:
        before = [fewest[ref.site] for ref in site.inputs if ref.site in fewest]
        if before and site.index not in begin:
            fewest[site.index] = min(before) + evidence.multiplies(site.index)
    return min((n for i, n in fewest.items() if i in evidence.graph.outputs or sites[i].kind == "loss"), default=0)
