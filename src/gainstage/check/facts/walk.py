"""The shortest way from a site to the end of a pass."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence


def fewest_weights(evidence: "Evidence", starts: Iterable[int]) -> int:
    """How many weights the shortest path from these sites to an output or the loss leads through."""
    sites, begin = evidence.tape.sites, set(starts)
    fewest: dict[int, int] = dict.fromkeys(begin, 0)
    for site in sites:
        before = [fewest[ref.site] for ref in site.inputs if ref.site in fewest]
        if before and site.index not in begin:
            fewest[site.index] = min(before) + evidence.multiplies(site.index)
    return min((n for i, n in fewest.items() if i in evidence.graph.outputs or sites[i].kind == "loss"), default=0)
