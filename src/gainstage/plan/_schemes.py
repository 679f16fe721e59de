"""The classical schemes: one law for every weight, whatever its place, so that comparisons are fair."""

from collections.abc import Callable

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.init import Fans, Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._context import Context
from gainstage.plan._others import other_assignment
from gainstage.plan._uses import Use

# Where a name leaves a number open, it is Keras's: RandomNormal 0.05, RandomUniform 0.05; `constant` is 0.1.
CLASSICAL: dict[str, Callable[[], Law]] = {
    "xavier_normal": init.xavier_normal,
    "xavier_uniform": init.xavier_uniform,
    "glorot_normal": init.xavier_normal,
    "glorot_uniform": init.xavier_uniform,
    "he_normal": init.he_normal,
    "he_uniform": init.he_uniform,
    "kaiming_normal": init.he_normal,
    "kaiming_uniform": init.he_uniform,
    "lecun_normal": init.lecun_normal,
    "lecun_uniform": init.lecun_uniform,
    "orthogonal": init.orthogonal,
    "torch": init.torch_default,
    "gpt2": lambda: init.normal(0.0, 0.02),
    "normal": lambda: init.normal(0.0, 0.05),
    "uniform": lambda: init.uniform(-0.05, 0.05),
    "constant": lambda: init.constant(0.1),
    "zeros": init.zeros,
    "ones": init.ones,
}


def law_of_scheme(scheme: str | Law) -> Law:
    """The law that a classical scheme gives every weight.

    Raises:
        GainstageError: no scheme has this name; the nearest is suggested.
    """
    if isinstance(scheme, Law):
        return scheme
    if scheme not in CLASSICAL:
        from difflib import get_close_matches

        near = get_close_matches(str(scheme), ["auto", *CLASSICAL], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "write one of: auto, " + ", ".join(CLASSICAL)
        raise GainstageError(f"no scheme is called {scheme!r}; {hint}")
    return CLASSICAL[scheme]()


def classical(context: Context, scheme: str | Law) -> dict[str, Assignment]:
    """Every weight by the scheme's law; biases 0, normalizations at identity, embeddings and states as torch has them.

    `"torch"` also draws biases as torch does, from U(-1/sqrt(fan_in), 1/sqrt(fan_in)); `"gpt2"` divides the last weight
    of each of n residual branches by sqrt(n) and takes 0.02 for embeddings too.
    """
    law = law_of_scheme(scheme)
    name = scheme if isinstance(scheme, str) else str(law)
    return {
        parameter: _one(context, parameter, found, law, name) for parameter, found in context.uses.items()
    }  # fmt: skip


def _one(context: Context, parameter: str, uses: list[Use], law: Law, scheme: str) -> Assignment:
    if parameter in context.frozen:
        return Assignment("frozen", None, "does not require a gradient: left as it is")
    use = next((u for u in uses if u.slot == "table"), uses[0] if uses else None)
    if use is None or use.slot not in ("weight", "table", "recurrent weight", "recurrent input weight", "bias"):
        return _at_identity(other_assignment(context, uses, lambda site: 1.0))
    if use.slot == "table":
        std = 0.02 if scheme == "gpt2" else 1.0
        return Assignment("embedding", init.normal(0.0, std), f"scheme {scheme!r}", use.fans)
    if use.slot == "bias":
        return _bias(context, use, scheme)
    reason = f"scheme {scheme!r}"
    branch = context.branch_ending_at.get(use.site)
    if scheme == "gpt2" and branch:
        count = context.stream_sizes[branch.stream]
        law, reason = law.scaled(count**-0.5), f"{reason}: last weight of one of {count} residual branches"
    fans, parts = use.fans, use.gates
    packed = len(context.attention_parts.get(use.site, ("",)))
    if packed > 1 and fans and fans.fan_out % packed == 0:  # queries, keys and values in one tensor
        fans, parts = Fans(fans.fan_in, fans.fan_out / packed), packed
    return Assignment(use.slot, init.blocks((law,) * parts) if parts > 1 else law, reason, fans, use.transposed)


def _bias(context: Context, use: Use, scheme: str) -> Assignment:
    graph = context.graph
    call = graph.weights.get(use.site) or graph.weights.get(graph.source(graph.data(use.site)[0]))
    if scheme != "torch" or call is None:
        return Assignment("bias", init.zeros(), f"scheme {scheme!r}")
    bound = call.fans.fan_in**-0.5
    return Assignment("bias", init.uniform(-bound, bound), f"scheme {scheme!r}: 1/sqrt(fan_in) of its weight")


def _at_identity(assignment: Assignment) -> Assignment:
    """Classical schemes know no residual streams: every norm scale is 1, every recurrent bias 0."""
    if assignment.kind == "norm scale":
        return Assignment("norm scale", init.ones(), assignment.reason)
    if assignment.kind == "recurrent bias":
        return Assignment("recurrent bias", init.zeros(), "no offset before the first step")
    return assignment
