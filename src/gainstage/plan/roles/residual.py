"""The end of a residual branch: its share of the stream, or 0 beside weights that are frozen."""

from gainstage import init
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target
from gainstage.signal import Branch


def residual(context: Context, use: Use) -> Target | None:
    """The last weight of a residual branch writes the branch's share."""
    if not (branch := context.branch_ending_at.get(use.site)):
        return None
    if beside_frozen(context, branch):
        why = "a trained branch beside frozen weights: at 0 it leaves what they do as it is"
        return Target(Role("last weight of an adapter", "branch end"), 0.0, why, init.zeros())
    target, count = share(context, branch)
    added, kept = target * branch.share**2, stream_level(context, branch) * branch.keep**2
    text = f"last weight of residual branch {branch.position + 1} of {count}"
    if parts := context.attention_parts.get(use.site):
        text = f"{', '.join(parts)}, {text}"
    why = f"its branch adds {added:.2g} to a stream of {kept:.2g}: all {count} branches together at most double it"
    return Target(Role(text, "branch end"), target, why)


def beside_frozen(context: Context, branch: Branch) -> bool:
    """Whether a branch whose weights are all trained is added to what frozen weights make of the same signal.

    Adapters are: LoRA (Hu et al., ICLR 2022), ControlNet (Zhang et al., ICCV 2023). Of a branch that holds a weight
    that stays as it is, which may be the one at 0, nothing is said.
    """
    graph = context.graph

    def frozen(end: int) -> list[bool]:
        inside = [s for s in graph.weights if graph.depends(end, s) and graph.depends(s, branch.start)]
        return [graph.parameter_of(graph.weights[site].weight) in context.frozen for site in inside]

    past, through = frozen(branch.skip.site), frozen(branch.branch.site)
    return bool(past) and all(past) and len(through) > 1 and not any(through)


def share(context: Context, branch: Branch) -> tuple[float, int]:
    r"""The mean square at the end of one branch under which all together at most double their stream; how many.

    Of $h' = a h + b f(h)$ the level may grow by $1 + 1/m$, and the branch writes what is missing:
    $q_f = (g - a^2)\, q_h / b^2$ with $g = \max(1, a^2)(1 + 1/m)$: a skip path that shrinks is filled up, one that
    grows is left to.
    """
    count, stream = context.stream_sizes[branch.stream], stream_level(context, branch)
    kept, times = branch.keep**2, context.branches_ended_by.get(context.end_of(branch), 1)
    missing = stream * (max(1.0 - kept, 0.0) + max(1.0, kept) / (count + branch.position))
    target = missing / branch.share**2
    if times > 1 and branch.share**2 < 1:  # small steps of one weight add up in one direction
        target = max(missing, min(target, stream / (times * branch.share) ** 2))
    return target, count


def stream_level(context: Context, branch: Branch) -> float:
    """The predicted level of the stream that a branch is added to."""
    known = branch.skip.site if branch.skip.site in context.levels.signals else branch.start
    return context.levels.level(known)
