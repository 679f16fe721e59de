r"""State-space models: the step dt = softplus(W x + b), over which a state decays by exp(-a dt)."""

from math import expm1, log

from gainstage import init
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target
from gainstage.signal import ops, walk
from gainstage.theory import leaves, name_behind

_STEP = 0.01  # the middle, in decades, of the steps 0.001 to 0.1 that S4 and Mamba start with
_BIAS = round(log(expm1(_STEP)), 2)


def step(context: Context, use: Use) -> Target | None:
    r"""Weight and bias of a step start around $\mathrm{softplus}(b) = 0.01$, spread by a weight of level 1.

    References:
        Gu and Dao, *Mamba: Linear-Time Sequence Modeling with Selective State Spaces*, 2023, section 3.6.
    """
    graph = context.graph
    end = leaves(graph, use.site) if use.slot in ("weight", "bias") else None
    if end is None or name_behind(graph, use.site) != "softplus" or not _decays(context, end):
        return None
    if use.slot == "weight":
        return Target(Role("weight of a state-space step"), reason="a level of 1 spreads the steps over two decades")
    why = f"steps around {_STEP}: the state remembers 10 to 1000 positions"
    return Target(Role("bias of a state-space step"), reason=why, law=init.constant(_BIAS), mean=_BIAS)


def _decays(context: Context, site: int) -> bool:
    """Whether the exponential of a product with this signal is taken."""
    graph = context.graph

    def onward(index: int) -> list[int]:
        found = (graph.sites[reader] for reader in graph.consumers[index])
        return [s.index for s in found if s.kind == "view" or ops.of(s).kind == "product" or s.op == "exp"]

    return any(graph.sites[index].op == "exp" for index in walk([site], onward))
