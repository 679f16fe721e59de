r"""Highway networks: y = T(x) h(x) + (1 - T(x)) x with a gate T, that start by carrying x."""

import torch

from gainstage import init
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles._role import Role, Target
from gainstage.signal import POINTS, ops
from gainstage.theory import region

_BIAS = 2.0  # sigmoid(-2) = 0.12: eight layers out of nine carry


def gate(context: Context, use: Use) -> Target | None:
    """The bias of the transform gate starts at -2, or at 2 where the gate is that of what is carried.

    References:
        Srivastava, Greff, Schmidhuber, *Training Very Deep Networks*, NeurIPS 2015, section 2.1.
    """
    graph = context.graph
    call = graph.weights.get(use.site)
    if use.slot != "bias" or call is None or call.data is None:
        return None
    carried, inner = graph.source(call.data), region(graph, use.site)
    for index, values in inner.items():
        for reader in graph.consumers[index]:
            reads = [graph.source(ref) for ref in graph.data(reader)]
            if ops.of(graph.sites[reader]).name != "mul" or not {carried, index} <= set(reads):
                continue
            whole = any(torch.allclose(values + other, torch.ones_like(POINTS)) for other in inner.values())
            if whole and 0 <= values.min() < values.max() <= 1:
                bias = _BIAS if values[-1] > values[0] else -_BIAS
                why = "the gate starts nearly shut, so that signal and gradient are carried through"
                return Target(Role("bias of a highway gate"), reason=why, law=init.constant(bias), mean=bias)
    return None
