r"""Mimetic: attention that starts as trained attention looks."""

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule, Said

_LETTERS = {"query": "q", "key": "k", "value": "v", "attention output": "o"}


def mimetic(context: Context) -> Rule:
    r"""Square projections of attention with $W_q^\top W_k \approx 0.7 Z + 0.7 I$ and $W_o W_v \approx 0.4 Z - 0.4 I$.

    The laws are those of `init.mimetic`; the two sides of a product draw from the stream of the attention's first
    query weight. Projections that are not square (shared keys and values, heads that do not fill the width) and all
    other weights start as torch has them.

    Raises:
        GainstageError: the model has no attention with square projections.

    References:
        Trockman & Kolter, *Mimetic Initialization of Self-Attention Layers*, ICML 2023.
    """
    graph = context.graph
    placed: dict[int, tuple[str, int]] = {}
    for attention in context.attentions:
        name = graph.parameter_of(graph.weights[attention.queries[0]].weight) if attention.queries else None
        for site in (*attention.queries, *attention.keys, *attention.values, *attention.outputs):
            units, reads = graph.units(graph.weights[site])
            parts = len(context.attention_parts[site])
            if name and units == parts * reads and reads % attention.head_dim == 0:
                placed[site] = name, reads // attention.head_dim
    if not placed:
        raise GainstageError(
            "scheme 'mimetic' is for attention with square projections of queries, keys and values; this model has "
            "none. Write scheme='auto'"
        )

    def rule(use: Use, part: str) -> Said | None:
        if use.site not in placed or part not in _LETTERS or use.slot != "weight":
            return None
        pair, heads = placed[use.site]
        return Said(init.mimetic(_LETTERS[part], heads, pair=pair), f"scheme 'mimetic', {heads} heads")

    return rule
