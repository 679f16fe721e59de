"""Embedding tables: entries of the level of the signal, or small where they are a head's weights too."""

from math import log, sqrt

from gainstage import init
from gainstage.plan._assignment import Assignment
from gainstage.plan._context import Context
from gainstage.plan.roles import Role
from gainstage.plan.roles.head import HEAD
from gainstage.signal import ops


def table(context: Context, site: int) -> tuple[Assignment, float]:
    """The assignment of a table that is read at this site, and the mean square of its entries."""
    graph = context.graph
    kinds = {fate.kind for fate in graph.fates(site)}
    together = sorted(context.summed_tables[site])
    tied = [other for other in together if _is_tied(context, other)]
    role = Role("embedding")
    if tied:
        rows, width = graph.shapes[graph.weights[tied[0]].weight.site]
        chance = log(max(rows, 2))
        std = min(sqrt(1 / len(together)), sqrt(HEAD * chance / width), 0.5 * chance / width)
        role = Role("embedding tied with the output head", "embedding") if site in tied else role
        reason = (
            f"tied with a head of {rows} outputs: small enough that no logit, a token's own included, "
            "stands out before training"
        )
    elif kinds & {"attention", "softmax"}:
        std, role, reason = 0.02, Role("attention bias table"), "small: attention starts without a preference"
    elif kinds == {"norm"}:
        std, reason = 0.02, "scale-free: a normalization follows; small entries learn faster under Adam"
    else:
        factor = _factor_behind(context, site)
        std = sqrt(1 / len(together)) / factor
        sum_of = f", and {len(together)} tables add up to it" if len(together) > 1 else ""
        grown = f", times the {factor:.3g} behind it," if abs(factor - 1) > 1e-3 else ""
        reason = f"a look-up sums nothing: its entries{grown} have the level of the signal, 1{sum_of}"
    std = float(f"{std:.3g}")
    law, row = init.normal(0.0, std), ops.argument(graph.sites[site], "padding_idx")
    if isinstance(row, int) and row >= 0:
        law, reason = init.padded(law, row), f"{reason}; no gradient reaches the row of padding, which stays 0"
    return Assignment(role, law, reason, graph.weights[site].fans), std**2


def _factor_behind(context: Context, site: int) -> float:
    """The fixed factor that a look-up is multiplied by before it meets another signal, as in Vaswani et al., 2017."""
    graph, factor = context.graph, 1.0
    while site not in graph.outputs and len(graph.consumers[site]) == 1:
        reader = graph.consumers[site][0]
        if not graph.transparent(reader):
            break
        factor *= abs(graph.sums.factor(reader, site) or 1.0)
        site = reader
    return factor if 1e-6 < factor < 1e6 else 1.0


def _is_tied(context: Context, site: int) -> bool:
    name = context.graph.parameter_of(context.graph.weights[site].weight)
    return any(use.slot == "weight" for use in context.uses.get(name or "", ()))
