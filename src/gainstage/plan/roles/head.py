"""The output head: little, so that the first loss is that of guessing."""

from math import log

from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target

HEAD = 0.05  # mean square of the logits, as a share of ln C: adds 2.5 % to the expected initial loss


def head(context: Context, use: Use) -> Target | None:
    """A weight whose output is the network's."""
    if not context.is_head(use.site):
        return None
    outputs = context.graph.units(context.graph.weights[use.site])[0]
    target = HEAD * log(max(outputs, 2))
    why = f"outputs of mean square {target:.2g} keep the first loss within 10 % of chance over {outputs} classes"
    return Target(Role("output head"), target, why)
