"""What all paths through a pass have in common."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from gainstage.signal import Graph

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


_PRIME = 2**61 - 1


def cuts(graph: Graph) -> set[int]:
    """Every site that all paths from the inputs to the outputs and the loss lead through, in linear time.

    The paths into a site times the paths out of it are all the paths there are. They are counted modulo a prime of 61
    bits, since their number grows exponentially with depth.
    """
    ends = graph.outputs | {site.index for site in graph.sites if site.kind == "loss"}
    starts = {site.index for site in graph.sites if site.kind == "input"}
    into = [0] * len(graph.sites)
    for index in range(len(graph.sites)):
        into[index] = (into[index] + (index in starts)) % _PRIME
        if index not in ends:
            for reader in graph.consumers[index]:
                into[reader] += into[index]
    out = [0] * len(graph.sites)
    for index in reversed(range(len(graph.sites))):
        out[index] = 1 if index in ends else sum(out[reader] for reader in graph.consumers[index]) % _PRIME
    paths = sum(out[index] for index in starts) % _PRIME
    on_way = (s.index for s in graph.sites if s.kind in ("op", "view") and into[s.index])
    return {index for index in on_way if into[index] * out[index] % _PRIME == paths}
