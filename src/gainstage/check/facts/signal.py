"""Walks over the graph that several rules share."""

from typing import TYPE_CHECKING

from gainstage.check._fact import fact
from gainstage.signal import Attention, Graph, attentions, walk

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence


_PRIME = 2**61 - 1


@fact
def cuts(evidence: "Evidence") -> set[int]:
    """Every site that all paths from the inputs to the outputs and the loss lead through.

    `evidence.cut` of all sites at once, in linear time: the paths into a site times the paths out of it are all the
    paths there are. They are counted modulo a prime of 61 bits, since their number grows exponentially with depth.
    """
    graph = evidence.graph
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


def weights_behind(graph: Graph, index: int) -> list[int]:
    """The nearest sites before this one that multiply with a weight, through anything else."""

    def before(site: int) -> list[int]:
        return [ref.site for ref in graph.data(site)] if site == index or site not in graph.weights else []

    return sorted(site for site in walk([index], before) if site in graph.weights and site != index)


@fact
def all_attentions(evidence: "Evidence") -> list[Attention]:
    """Every attention of the pass."""
    return attentions(evidence.graph)
