"""Which parameter of a large model is which of a small one: told by what each does, not by its name or size."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from gainstage.errors import GainstageError
from gainstage.plan.roles import Context, Use
from gainstage.signal import Graph, Tape


@dataclass(frozen=True)
class Seen:
    """One recorded size of a model.

    Attributes:
        tape: of one pass.
        context: its structure.
        uses: of every parameter, in execution order.
        shapes: of the parameters.
    """

    tape: Tape
    context: Context
    uses: Mapping[str, list[Use]]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, tape: Tape) -> "Seen":
        """What one tape shows."""
        context = Context(Graph(tape))
        shapes = {site.path: site.shape for site in tape.sites if site.kind == "parameter"}
        return cls(tape, context, {name: uses for name, uses in context.uses.items() if uses}, shapes)

    def does(self, name: str) -> tuple[Any, ...]:
        """What a parameter does, as far as it does not depend on sizes."""
        context = self.context
        ends = {b.last for b in context.branches}
        return tuple(
            (
                use.slot,
                context.graph.sites[use.site].op,
                len(self.shapes[name]),
                use.site in context.graph.weights and context.is_head(use.site),
                context.attention_parts.get(use.site, ()),
                use.site in ends,
                _reads_input(context, use.site),
            )
            for use in self.uses[name][:2]
        )


def partners(base: Seen, target: Seen) -> dict[str, str]:
    """For every parameter of the target the one of the base that does the same, in the same order of execution.

    Blocks that only the target has are repetitions of one that both have: their parameters go with it.

    Raises:
        GainstageError: the two differ in more than their sizes and the number of equal blocks.
    """
    small, large = list(base.uses), list(target.uses)
    one, other = [base.does(name) for name in small], [target.does(name) for name in large]
    if len(small) == len(large) and (one == other or small == large):
        return dict(zip(large, small, strict=True))
    found: dict[str, str] = {}
    for start, begin, size in SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks():
        found |= zip(large[begin : begin + size], small[start : start + size], strict=True)
    if lost := [name for name in small if name not in found.values()]:
        raise GainstageError(
            f"the sizes differ in structure: {lost[0]!r} ({_said(base, lost[0])}) of the base has no counterpart in "
            "the target. Expected models that differ in widths and in the number of equal blocks only"
        )
    places = {name: place for place, name in enumerate(large)}
    known = list(found)
    for name, does in zip(large, other, strict=True):
        if name in found:
            continue
        alike = [near for near in known if other[places[near]] == does]
        if not alike:
            raise GainstageError(
                f"the sizes differ in structure: {name!r} ({_said(target, name)}) of the target does what no parameter "
                "of the base does. Expected models that differ in widths and in the number of equal blocks only"
            )
        found[name] = found[min(alike, key=lambda near: (abs(places[near] - places[name]), places[near]))]
    return {name: found[name] for name in large}


def _reads_input(context: Context, site: int) -> bool:
    call = context.graph.weights.get(site)
    return bool(call and call.data and context.graph.sites[context.graph.source(call.data)].kind == "input")


def _said(seen: Seen, name: str) -> str:
    use = seen.uses[name][0]
    return f"{use.slot}, read by {seen.context.graph.sites[use.site].name}"
