"""All other weights: into a normalization, a gate, an activation."""

from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target
from gainstage.theory import behind, leaves, name_behind


def normalized(context: Context, use: Use) -> Target | None:
    """A weight whose scale the normalization that reads it divides away."""
    if not context.is_scale_free(use.site):
        return None
    norm = context.graph.sites[next(f.site for f in context.graph.fates(use.site))].op
    norm = norm if norm.endswith("norm") else "normalization"
    why = f"scale-free: the {norm} that follows divides the scale away"
    return Target(Role(f"weight into {norm}", "scale-free"), reason=why)


def plain(context: Context, use: Use) -> Target:
    """Level 1 in front of an activation, less in front of one that turns over within a standard normal."""
    phi = behind(context.graph, use.site)
    level = phi.calm_level() if phi is not None and phi.name else 1.0
    why = f"a level of {level:.2g}, where the activation is steep but does not fold the signal over"
    return Target(plain_role(context, use.site), level, "" if level == 1 else why)


def plain_role(context: Context, site: int) -> Role:
    """Gate, value, input or hidden weight."""
    graph = context.graph
    activation, end = name_behind(graph, site), leaves(graph, site)
    kinds = {fate.kind for fate in graph.fates(site if end is None else end)}
    if "gate" in kinds:
        gate = activation and end is not None
        return Role("gate weight of a gated unit" if gate else "value weight of a gated unit", "gated unit")
    data = graph.weights[site].data
    reads_input = data is not None and graph.sites[graph.source(data)].kind == "input"
    place = "input weight" if reads_input else "hidden weight"
    return Role(f"{place} into {activation}" if activation else place, place)
