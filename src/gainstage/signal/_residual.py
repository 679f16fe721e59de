"""Residual streams: which additions join a skip path and a branch, and what stands last in each branch."""

from dataclasses import dataclass

from gainstage.signal import ops
from gainstage.signal._graph import Graph
from gainstage.signal._sites import Ref


@dataclass(frozen=True)
class Branch:
    """One residual branch: `add = keep * skip + share * branch(start)`.

    Attributes:
        add: the site at which the sum is complete.
        skip, branch: the two terms of the sum.
        keep: the factor of the skip path.
        share: the factor of the last weight or normalization of the branch, all fixed numbers on its way counted.
        start: the site where the two paths part.
        last: site of the last weight or normalization of the branch, behind transparent sites; None where the branch
            ends in something else (an activation, a learned scale).
        scaled: the branch is multiplied by a learned scale (LayerScale, ReZero) before the addition.
        stream: number of its stream.
        position: how many branches of this stream come before it.
    """

    add: int
    skip: Ref
    branch: Ref
    keep: float
    share: float
    start: int
    last: int | None
    scaled: bool
    stream: int
    position: int


def branches(graph: Graph) -> list[Branch]:
    """Every residual branch in execution order.

    A fixed sum of two terms is residual if they come from one floating point site, and one of the two paths from there
    holds more weights than the other: that one is the branch. Streams run on through additions, normalizations,
    activations and the weights of a skip path.
    """
    found: list[Branch] = []
    stream_of: dict[int, int] = {}
    weighty = sum(1 << index for index in graph.weights) | sum(
        1 << site.index for site in graph.sites if ops.of(site).kind == "recurrent"
    )
    for site in graph.sites:
        terms = graph.sums.terms(site.index)
        reads = list(terms)
        if site.kind != "op" or len(reads) != 2 or reads[0].site == reads[1].site or not graph.sums.ends(site.index):
            continue
        if graph.shapes[reads[0].site] != site.shape and graph.shapes[reads[1].site] != site.shape:
            continue
        start = _parting(graph, reads[0], reads[1])
        if start is None:
            continue
        counts = [_between(graph, start, ref.site, weighty) for ref in reads]
        if counts[0] == counts[1]:
            continue
        skip, branch = (reads[0], reads[1]) if counts[0] < counts[1] else (reads[1], reads[0])
        last, scaled, factor = _last(graph, branch)
        stream = _stream(graph, skip, stream_of, len(set(stream_of.values())))
        position = sum(b.stream == stream for b in found)
        stream_of[site.index] = stream
        share = terms[branch] * factor
        found.append(Branch(site.index, skip, branch, terms[skip], share, start, last, scaled, stream, position))
    return found


def _parting(graph: Graph, a: Ref, b: Ref) -> int | None:
    """The last floating point site that both arguments depend on; None where they have nothing in common."""
    common = graph.ancestors[a.site] & graph.ancestors[b.site]
    while common:
        index = common.bit_length() - 1
        if index not in graph.constant:
            return index if graph.sites[index].dtype.startswith(("float", "bfloat", "complex")) else None
        common &= ~(1 << index)
    return None


def _between(graph: Graph, start: int, end: int, weighty: int) -> int:
    """Number of weights on the way from `start` to `end`."""
    on_way = graph.ancestors[end] & weighty & ~((1 << (start + 1)) - 1)
    count = 0
    while on_way:
        index = on_way.bit_length() - 1
        count += graph.depends(index, start)
        on_way &= ~(1 << index)
    return count


def _last(graph: Graph, branch: Ref) -> tuple[int | None, bool, float]:
    """The last weight or normalization of a branch, whether a learned scale stands behind it, and the fixed factors."""
    index, scaled, factor = branch.site, False, 1.0
    while True:
        site, op = graph.sites[index], ops.of(graph.sites[index])
        reads = graph.data(index)
        if index in graph.outputs:  # compared with the input rather than added to it: the error of a reconstruction
            return None, scaled, factor
        if index in graph.weights or op.kind == "norm":
            return index, scaled, factor
        fixed = graph.sums.factor(index, reads[0].site) if len(reads) == 1 else None
        learned = op.kind == "product" and len(reads) == 1 and len(site.inputs) == 2 and fixed is None
        if not reads or not (graph.transparent(index) or learned or fixed):
            return None, scaled, factor
        scaled, factor = scaled or learned, factor * (fixed or 1.0)
        index = reads[0].site


def _stream(graph: Graph, skip: Ref, stream_of: dict[int, int], new: int) -> int:
    """The stream that the skip path belongs to, followed back along its first reads."""
    index = skip.site
    while index not in stream_of:
        reads = graph.data(index)
        if not reads or graph.sites[index].is_leaf:
            return new
        if index in graph.weights and graph.weights[index].family == "embedding":
            return new
        index = max((ref.site for ref in reads), key=lambda i: i in stream_of) if len(reads) > 1 else reads[0].site
    return stream_of[index]
