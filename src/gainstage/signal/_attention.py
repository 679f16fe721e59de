"""Attention: which sites make queries, keys and values, and which weight reads the result."""

from dataclasses import dataclass

from gainstage.signal import ops
from gainstage.signal._graph import Graph
from gainstage.signal._sites import Ref
from gainstage.signal._walk import walk


@dataclass(frozen=True)
class Attention:
    """One attention call.

    Attributes:
        site: the fused call, or the softmax where attention is written out.
        logits: the site that holds the logits; None in a fused call.
        queries, keys, values: weight sites behind each argument (one and the same for packed projections).
        outputs: weight sites that read the result.
        head_dim: size of one head's queries.
        scale: factor on the products of queries and keys; None where the tape does not say.
    """

    site: int
    logits: int | None
    queries: tuple[int, ...]
    keys: tuple[int, ...]
    values: tuple[int, ...]
    outputs: tuple[int, ...]
    head_dim: int
    scale: float | None

    def logits_level(self, queries: float = 1.0, keys: float = 1.0) -> float | None:
        r"""Mean square of the logits $s\, q^T k$ of independent queries and keys: $s^2 d\, q_q q_k$, from their levels.

        None where the tape does not say the factor s. Vaswani et al., NeurIPS 2017, section 3.2.1.
        """
        return None if self.scale is None else self.head_dim * self.scale**2 * queries * keys


def attentions(graph: Graph) -> list[Attention]:
    """Every attention in execution order, fused or written as softmax(q k^T) v."""
    found = []
    for site in graph.sites:
        kind = ops.of(site).kind
        if kind == "attention":
            q, k, v = (ops.argument(site, name) for name in ("query", "key", "value"))
            scale = ops.argument(site, "scale")
            dim = graph.shapes[q.site][-1]
            scale = float(scale) if isinstance(scale, int | float) else dim**-0.5
            found.append(_attention(graph, site.index, site.index, None, (q, k, v), dim, scale))
        elif kind == "softmax" and (parts := _written_out(graph, site.index)):
            product, (q, k), mixed, v = parts
            scale = _scale_between(graph, product, site.index)
            found.append(_attention(graph, site.index, mixed, product, (q, k, v), graph.shapes[q.site][-1], scale))
    return found


def _attention(
    graph: Graph, site: int, mixed: int, logits: int | None, qkv: tuple[Ref, Ref, Ref], dim: int, scale: float | None
) -> Attention:
    q, k, v = (weights_behind(graph, ref.site) for ref in qkv)
    outputs = tuple(fate.site for fate in graph.fates(mixed) if fate.site in graph.weights)
    return Attention(site, logits, q, k, v, outputs, dim, scale)


def _written_out(graph: Graph, softmax: int) -> tuple[int, tuple[Ref, Ref], int, Ref] | None:
    product = _back_to_product(graph, softmax)
    if product is None:
        return None
    q, k = graph.data(product)[-2:]
    for fate in graph.fates(softmax):
        reads = graph.data(fate.site)
        if ops.of(graph.sites[fate.site]).kind == "matmul" and len(reads) == 2:
            value = next((ref for ref in reads if not graph.depends(ref.site, softmax)), None)
            if value is not None:
                return product, (q, k), fate.site, value
    return None


def _back_to_product(graph: Graph, index: int) -> int | None:
    for _ in range(12):
        reads = graph.data(index)
        if not reads:
            return None
        index = reads[0].site  # masks and position biases are added on the right
        site, op = graph.sites[index], ops.of(graph.sites[index])
        if op.kind == "matmul" and index not in graph.weights and len(graph.data(index)) >= 2:
            return index
        if not (site.kind == "view" or op.elementwise or op.kind in ("mask", "softmax")):
            return None
    return None


def _scale_between(graph: Graph, product: int, softmax: int) -> float | None:
    """The number that the logits are multiplied by on their way, and the queries before."""
    scale, index = 1.0, graph.data(softmax)[0].site
    while index != product:
        read = graph.data(index)[0].site
        scale, index = scale * (graph.sums.factor(index, read) or 1.0), read
    for ref in graph.data(product)[-2:]:
        index = ref.site
        while graph.transparent(index) and (reads := graph.data(index)):
            scale, index = scale * (graph.sums.factor(index, reads[0].site) or 1.0), reads[0].site
    return scale


def weights_behind(graph: Graph, index: int) -> tuple[int, ...]:
    """The nearest weight sites that a signal is made from, through anything that is not a weight (rotary positions)."""

    def before(site: int) -> list[int]:
        return [] if site in graph.weights else [ref.site for ref in graph.data(site)]

    return tuple(sorted(site for site in walk([index], before) if site in graph.weights))
