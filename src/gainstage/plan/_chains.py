"""Plain chains: weights in a row with nothing but activations between, the nets that are hard to start at depth."""

from collections.abc import Iterator
from dataclasses import dataclass

from gainstage.signal import Graph
from gainstage.theory import Activation, behind, leaves

DEEP = 6  # weights in a row from which a structured start loses for no activation (benchmarks/chains.py)


@dataclass(frozen=True)
class Chain:
    """Weight sites in a row, each reading the activation of the one before, and nothing else reading in between.

    Attributes:
        sites: at least two weight sites, first to last.
        name: the activation for people, `"relu"`.
        phi: what one unit passes on, or for mirrored units a pair.
        mirrored: the activation is not odd, so units start in pairs of opposite sign.
    """

    sites: tuple[int, ...]
    name: str
    phi: Activation
    mirrored: bool


def chains(graph: Graph) -> list[Chain]:
    """Every maximal plain chain of a graph, longest first."""
    following = {index: after for index in graph.weights if (after := _next(graph, index)) is not None}
    found: list[Chain] = []
    for head in sorted(set(following) - set(following.values())):
        row = [head]
        while row[-1] in following and following[row[-1]] not in row:
            row.append(following[row[-1]])
        found.extend(_by_activation(graph, row))
    return sorted(found, key=lambda chain: -len(chain.sites))


def _next(graph: Graph, index: int) -> int | None:
    """The one weight that reads this weight's output through an activation, whole units in their order."""
    end = leaves(graph, index)
    if end is None or end in graph.outputs:
        return None
    readers = [r for r in graph.consumers[end] if graph.sites[r].kind != "loss"]
    if len(readers) != 1 or readers[0] not in graph.weights:
        return None
    before, after = graph.weights[index], graph.weights[readers[0]]
    if before.family in ("embedding", "bilinear") or after.data is None or after.family == "bilinear":
        return None
    units, reads = graph.units(before)[0], graph.units(after)[1]
    return readers[0] if reads % units == 0 else None


def _by_activation(graph: Graph, row: list[int]) -> Iterator[Chain]:
    """Cut a row of weights where the activation changes."""
    found = [phi for index in row[:-1] if (phi := behind(graph, index))]  # all have one: they have a next weight
    start = 0
    for end in range(1, len(row)):
        if end == len(row) - 1 or not found[end].same(found[start]):
            phi = found[start]
            yield Chain(tuple(row[start : end + 1]), phi.name or "no activation", phi.pair, not phi.odd)
            start = end
