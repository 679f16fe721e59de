"""Laws of everything that is no weight: biases, normalizations, recurrent parameters, and what is left as it is."""

from collections.abc import Callable
from math import sqrt

from gainstage import init
from gainstage.init import Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._chains import DEEP
from gainstage.plan._context import Context
from gainstage.plan._uses import Use
from gainstage.plan.roles import Role
from gainstage.signal import ops
from gainstage.theory import behind

_COORDINATES = 3  # inputs; a unit of more turns far from the origin for some sample by itself
_SMALL = init.normal(0.0, 0.02)
# By slot: role, law (None leaves it as it is) and reason.
_BY_SLOT: dict[str, tuple[str, Law | None, str]] = {
    "bias": ("bias", init.zeros(), "no offset before the first step"),
    "norm shift": ("norm shift", init.zeros(), "normalization starts at the identity"),
    "added table": ("position embedding", _SMALL, "small beside the signal that it is added to"),
    "attention bias": ("attention bias", _SMALL, "small: attention starts without a preference"),
    "token": ("learned token", _SMALL, "one more position of the sequence; small breaks ties"),
    "learned scale": (
        "learned scale",
        None,
        "a scale that the architecture chose (LayerScale, ReZero): left at its value",
    ),
    "activation slope": ("activation slope", None, "the slope of an activation: left at its value"),
    "reparameterized": (
        "reparameterized",
        None,
        "the weight is computed from it (weight norm, a parametrization): left as it is",
    ),
}


def other_assignment(context: Context, uses: list[Use], norm_scale: Callable[[int], float]) -> Assignment:
    """Role, law and reason of a parameter that multiplies no signal as a matrix.

    Args:
        context: structure of the pass.
        uses: of this parameter; the first decides.
        norm_scale: the scale that a normalization site starts with.
    """
    if not uses:
        return Assignment("unknown", None, "read by no operation that depends on the inputs: left as it is")
    use = uses[0]
    if use.slot == "bias" and (spread := _spread(context, use)):
        why = (
            "few inputs: offsets of the size of their share spread where units turn, which else all turn at the origin"
        )
        return Assignment("bias of an input weight", init.uniform(-spread, spread), why)
    if use.slot in _BY_SLOT:
        return Assignment(*_BY_SLOT[use.slot])
    if use.slot == "norm scale":
        return _norm_scale(context, use, norm_scale(use.site))
    if use.slot.startswith("recurrent"):
        return _recurrent(context, use)
    op = context.graph.sites[use.site].op
    return Assignment("unknown", None, f"its part in {op!r} is not understood: left as it is")


def _spread(context: Context, use: Use) -> float:
    r"""The bound of the bias of a weight that reads few coordinates, $\sqrt{3 / (n + 1)}$; 0 for any other.

    The bias counts as one more input, of level 1: a unit $w x + b$ then turns over anywhere between the data.
    """
    call = context.graph.weights.get(use.site)
    few = call is not None and call.data is not None and call.fans.fan_in <= _COORDINATES
    if not few or any(use.site in chain.sites for chain in context.chains if len(chain.sites) >= DEEP):
        return 0.0
    assert call is not None
    assert call.data is not None
    phi = behind(context.graph, use.site)
    if context.graph.sites[context.graph.source(call.data)].kind != "input" or phi is None or not phi.name:
        return 0.0
    return float(f"{sqrt(3 / (call.fans.fan_in + 1)):.3g}")


def _norm_scale(context: Context, use: Use, scale: float) -> Assignment:
    branch = context.branch_ending_at.get(use.site)
    if branch is None:
        return Assignment("norm scale", init.ones(), "normalization starts at the identity")
    count = context.stream_sizes[branch.stream]
    return Assignment(
        Role(f"norm scale, last of residual branch {branch.position + 1} of {count}", "norm scale"),
        init.constant(scale),
        f"all {count} branches together at most double the stream",
    )


def _recurrent(context: Context, use: Use) -> Assignment:
    op = ops.of(context.graph.sites[use.site])
    gates = f" of {use.gates} gates" if use.gates > 1 else ""

    def each(law: Law) -> Law:
        return init.blocks((law,) * use.gates) if use.gates > 1 else law

    if use.slot == "recurrent weight":
        if op.rectifies:
            return Assignment(use.slot, init.identity(), "with ReLU the identity keeps the state over time", use.fans)
        reason = f"orthogonal{', each gate on its own,' if gates else ''} keeps the state's size over time"
        return Assignment(use.slot + gates, each(init.orthogonal()), reason, use.fans)
    if use.slot in ("recurrent input weight", "recurrent projection"):
        return Assignment(use.slot + gates, each(init.lecun_normal()), "gates read a level of 1", use.fans)
    role = Role("recurrent bias" + gates, "recurrent bias")
    if op.forget is not None and use.first_bias:
        law = init.blocks(tuple(init.ones() if gate == op.forget else init.zeros() for gate in range(op.gates)))
        return Assignment(role, law, "the gate that keeps the state at 1: the cell remembers before it has learned to")
    return Assignment(role, init.zeros(), "no offset before the first step")
