"""The classical schemes: one law for every weight, whatever its place, so that comparisons are fair."""

from collections.abc import Callable
from dataclasses import replace
from math import prod

from gainstage import init
from gainstage.errors import GainstageError
from gainstage.init import Fans, Law
from gainstage.plan._assignment import Assignment
from gainstage.plan._context import Context
from gainstage.plan._others import other_assignment
from gainstage.plan._uses import Use
from gainstage.plan.schemes._rule import Rule
from gainstage.plan.schemes.deepnorm import deepnorm
from gainstage.plan.schemes.gains import gpt2, orthogonal
from gainstage.plan.schemes.mimetic import mimetic
from gainstage.plan.schemes.siren import siren
from gainstage.plan.schemes.tat import tat

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
    "deepnorm": init.xavier_normal,
    "siren": init.torch_default,
    "mimetic": init.torch_default,
    "tat": init.lecun_normal,
}
# What a scheme says otherwise of some parameters, by their place.
PAPERS: dict[str, Callable[[Context], Rule]] = {
    "orthogonal": orthogonal,
    "gpt2": gpt2,
    "deepnorm": deepnorm,
    "siren": siren,
    "mimetic": mimetic,
    "tat": tat,
}
_ORDER = ("query", "key", "value", "attention output")  # in which one tensor holds them
_TORCH = ("torch", "siren", "mimetic")  # whose biases are drawn


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

    `"torch"`, `"siren"` and `"mimetic"` also draw biases as torch does, from U(-1/sqrt(fan_in), 1/sqrt(fan_in)). What
    a paper says otherwise of a weight by its place is in `PAPERS`.

    Raises:
        GainstageError: the scheme is for another kind of network.
    """
    name = scheme if isinstance(scheme, str) else str(scheme)
    rule = PAPERS[name](context) if isinstance(scheme, str) and name in PAPERS else None
    return {parameter: _one(context, parameter, found, scheme, rule) for parameter, found in context.uses.items()}


def _one(context: Context, parameter: str, uses: list[Use], scheme: str | Law, rule: Rule | None) -> Assignment:
    if parameter in context.frozen:
        return Assignment("frozen", None, "does not require a gradient: left as it is")
    use = next((u for u in uses if u.slot == "table"), uses[0] if uses else None)
    if use is None or use.slot not in ("weight", "table", "recurrent weight", "recurrent input weight", "bias"):
        made = _at_identity(other_assignment(context, uses, lambda site: 1.0))
        said = rule(use, "") if rule and use else None
        return replace(made, law=said.law, reason=said.reason) if said else made
    reason = f"scheme {str(scheme)!r}"
    if use.slot == "bias":
        return _bias(context, use, reason, drawn=scheme in _TORCH)
    usual = init.normal(0.0, 1.0) if use.slot == "table" else law_of_scheme(scheme)
    parts, fans = _parts(context, parameter, uses, use)
    told = [rule(use, part) if rule else None for part, use in parts]
    laws = tuple(one.law if one else usual for one in told)
    reason = next((one.reason for one in reversed(told) if one), reason)
    role = "embedding" if use.slot == "table" else use.slot
    return Assignment(role, init.blocks(laws) if len(laws) > 1 else laws[0], reason, fans, use.transposed)


def _parts(context: Context, parameter: str, uses: list[Use], first: Use) -> tuple[list[tuple[str, Use]], Fans | None]:
    """What a weight packs, each with the use that makes it, and the fans of one part: queries, keys and values."""
    packed = {part: use for use in reversed(uses) for part in context.attention_parts.get(use.site, ())}
    parts, fans = sorted(packed.items(), key=lambda item: _ORDER.index(item[0])), first.fans
    if len(parts) > 1 and fans:
        held = next(site.shape for site in context.graph.sites if site.path == parameter)
        rows = prod(held) / fans.fan_in
        if rows % len(parts) == 0:
            return parts, Fans(fans.fan_in, rows / len(parts))
    return [(parts[0][0] if parts else "", first)] * first.gates, fans


def _bias(context: Context, use: Use, reason: str, *, drawn: bool) -> Assignment:
    graph = context.graph
    call = graph.weights.get(use.site) or graph.weights.get(graph.source(graph.data(use.site)[0]))
    if not drawn or call is None:
        return Assignment("bias", init.zeros(), reason)
    bound = call.fans.fan_in**-0.5
    return Assignment("bias", init.uniform(-bound, bound), f"{reason}: 1/sqrt(fan_in) of its weight")


def _at_identity(assignment: Assignment) -> Assignment:
    """Classical schemes know no residual streams: every norm scale is 1, every recurrent bias 0."""
    if assignment.kind == "norm scale":
        return Assignment("norm scale", init.ones(), assignment.reason)
    if assignment.kind == "recurrent bias":
        return Assignment("recurrent bias", init.zeros(), "no offset before the first step")
    return assignment
