r"""Multipliers of the forward pass, worked into parameters where that is the same function.

Three places need one: attention logits (1/d in place of $1/\sqrt d$, relative to the base, so that the base stays as it
is), a readout that is tied to the embedding (1/width), and residual branches ($L^{-\alpha}$). A multiplier $c$ in front
of an addition, a softmax or an output is the same as $c$ on the weight and bias before it, or on the scale and shift
of the normalization before it. Where queries, keys and values are one weight, $\sqrt c$ goes on it and $1/\sqrt c$ on
the weight that reads the result, which is linear in the values. What nothing can take up is named with its place.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt

from gainstage.signal import Attention, Branch, ops
from gainstage.transfer._growth import Growth, depths
from gainstage.transfer._match import Seen
from gainstage.transfer._rules import BORDELON, COMPLETEP, TP4, TP5, Rule


@dataclass(frozen=True)
class Multiplier:
    """A factor that the forward pass of the target needs.

    Attributes:
        what: `attention logits`, `tied readout`, `residual branch` or `multiplier of the model`.
        place: the site whose output is to be multiplied.
        module: path of the module that computes it.
        factor: in units of what the target has now.
        folded: the parameters that take it up, each with the factor on it; empty where none can.
        undone: parameters behind it that take back what it does beside its place.
        reads: the parameter that a readout is tied to.
        why: in a sentence.
        source: paper and place.
    """

    what: str
    place: str
    module: str
    factor: float
    folded: tuple[tuple[str, float], ...]
    why: str
    source: str
    undone: tuple[tuple[str, float], ...] = ()
    reads: str = ""


def multipliers(rule: Rule, growth: Mapping[str, Growth], base: Seen, target: Seen) -> tuple[Multiplier, ...]:
    """Every multiplier that is not 1 by the rule."""
    if rule.rows is None:
        return ()
    found = [*_attention(base, target), *_tied(target, growth), *_branches(rule, base, target), *_own(base, target)]
    return tuple(m for m in found if abs(m.factor - 1) > 1e-6)


def shares(found: tuple[Multiplier, ...]) -> dict[str, float]:
    """By parameter, the product of all multipliers that it takes up."""
    total: dict[str, float] = {}
    for multiplier in found:
        for name, share in (*multiplier.folded, *multiplier.undone):
            total[name] = total.get(name, 1.0) * share
    return total


def units(found: tuple[Multiplier, ...]) -> dict[str, float]:
    """By parameter, in which units its site now writes: the multipliers that it takes up and nobody takes back."""
    total: dict[str, float] = {}
    for multiplier in found:
        for name, share in multiplier.folded:
            total[name] = total.get(name, 1.0) * share
    return total


def passing(found: tuple[Multiplier, ...]) -> dict[str, float]:
    """By parameter, in which units its site writes over those that it reads."""
    total = units(found)
    for multiplier in found:
        for name, share in multiplier.undone:
            total[name] = total.get(name, 1.0) * share
        if multiplier.what == "tied readout":
            total[multiplier.reads] = total.get(multiplier.reads, 1.0) / multiplier.factor
    return total


# --- attention -------------------------------------------------------------------------------------------------------


def _attention(base: Seen, target: Seen) -> Iterator[Multiplier]:
    few, many = base.context.attentions, target.context.attentions
    if not few:
        return
    done: set[str] = set()
    for place, attention in enumerate(many):
        own = few[min(place, len(few) - 1)] if len(few) != len(many) else few[place]
        if attention.scale is None or own.scale is None or attention.scale == 0:
            continue
        wanted = own.scale * own.head_dim / attention.head_dim
        factor, site = wanted / attention.scale, target.context.graph.sites[attention.site]
        taken = {name: share for name, share in _of_attention(target, attention, factor).items() if name not in done}
        done.update(taken)
        up = factor if any(share == factor for share in taken.values()) else sqrt(factor)
        folded = tuple(item for item in taken.items() if item[1] == up)
        undone = tuple(item for item in taken.items() if item[1] != up)
        why = f"queries and keys of {own.head_dim} to {attention.head_dim} numbers line up: 1/d, not 1/sqrt(d)"
        yield Multiplier(
            "attention logits", site.name, site.path, factor, folded, why, f"{TP5}, definition 4.1", undone
        )


def _of_attention(seen: Seen, attention: Attention, factor: float) -> dict[str, float]:
    """The parameters that a factor on the logits can be worked into."""
    graph = seen.context.graph
    if norm := _norm_of_queries(seen, attention):
        return dict.fromkeys(norm, factor)
    q, k, v, out = (
        {name for site in sites for name in affine(seen, site)}
        for sites in (attention.queries, attention.keys, attention.values, attention.outputs)
    )
    weights = {graph.parameter_of(graph.weights[site].weight) for site in attention.outputs}
    if not q or None in weights:
        return {}
    if not q & (k | v):
        return dict.fromkeys(sorted(q), factor)
    if q == k and not q & v:
        return dict.fromkeys(sorted(q), sqrt(factor))
    if q == k == v and weights:
        after = sorted(out & {weight for weight in weights if weight})
        return dict.fromkeys(sorted(q), sqrt(factor)) | dict.fromkeys(after, 1 / sqrt(factor))
    return {}


def _norm_of_queries(seen: Seen, attention: Attention) -> tuple[str, ...]:
    """Scale and shift of a normalization between the weight of the queries and their products with the keys."""
    graph = seen.context.graph
    for index, slots in graph.norm_calls.items():
        between = any(graph.depends(attention.site, index) and graph.depends(index, site) for site in attention.queries)
        also_keys = any(graph.depends(index, site) for site in attention.keys if site not in attention.queries)
        if between and not also_keys and slots and all(not graph.depends(index, s) for s in attention.outputs):
            return tuple(slots.values())
    return ()


# --- readout ---------------------------------------------------------------------------------------------------------


def _tied(target: Seen, growth: Mapping[str, Growth]) -> Iterator[Multiplier]:
    graph = target.context.graph
    for name, own in growth.items():
        if own.kind != "tied":
            continue
        for use in target.uses[name]:
            if use.slot != "weight":
                continue
            site, data = graph.sites[use.site], graph.weights[use.site].data
            norm = graph.source(data) if data is not None else -1
            slots = graph.norm_calls.get(norm, {})
            alone = {fate.site for fate in graph.fates(norm)} == {use.site} if slots else False
            folded = tuple((parameter, 1 / own.fan_out) for parameter in slots.values()) if alone else ()
            why = "the embedding keeps its size and step, so as a readout its sum is divided by the width"
            source = f"{TP5}, appendix B.1"
            yield Multiplier("tied readout", site.name, site.path, 1 / own.fan_out, folded, why, source, (), name)


# --- depth -----------------------------------------------------------------------------------------------------------


def _branches(rule: Rule, base: Seen, target: Seen) -> Iterator[Multiplier]:
    if rule.alpha is None:
        return
    ratio, done = depths(base, target), set[str]()
    few = {b.stream: b for b in reversed(base.context.branches)}
    for branch in target.context.branches:
        own = few.get(branch.stream) or next(iter(few.values()))
        wanted = own.share * ratio.get(branch.stream, 1.0) ** -rule.alpha
        factor = wanted / branch.share
        site = target.context.graph.sites[branch.branch.site]
        names = [name for name in _end(target, branch) if name not in done]
        done.update(names)
        many = f"{ratio.get(branch.stream, 1.0):g} times as many branches"
        why = f"{many} share the stream: each adds L^-{rule.alpha:g} of its output"
        source = COMPLETEP if rule.alpha == 1 else BORDELON
        folded = tuple((name, factor) for name in names)
        yield Multiplier("residual branch", site.name, site.path, factor, folded, why, source)


def _end(seen: Seen, branch: Branch) -> list[str]:
    """The parameters that a factor on the whole branch can be worked into."""
    if branch.scaled:
        return _learned_scale(seen, branch)
    return [] if branch.last is None else affine(seen, branch.last)


def _learned_scale(seen: Seen, branch: Branch) -> list[str]:
    graph, index = seen.context.graph, branch.branch.site
    while True:
        site = graph.sites[index]
        if ops.of(site).kind == "product":
            names = [graph.parameter_of(ref) for ref in site.inputs if ref.site in graph.constant]
            if found := [name for name in names if name]:
                return found
        reads = graph.data(index)
        if len(reads) != 1:
            return []
        index = reads[0].site


def affine(seen: Seen, index: int) -> list[str]:
    """Weight and bias of a site, or scale and shift of a normalization, with biases that are added right behind."""
    graph = seen.context.graph
    names = list(graph.norm_calls.get(index, {}).values())
    if call := graph.weights.get(index):
        names += [name for ref in (call.weight, call.bias) if ref is not None and (name := graph.parameter_of(ref))]
    end = index
    while len(readers := graph.consumers[end]) == 1 and (graph.adds_bias(readers[0]) or _passes(seen, readers[0])):
        end = readers[0]
        if graph.adds_bias(end):
            fixed = [ref for ref in graph.sites[end].inputs if ref.site in graph.constant]
            names += [name for ref in fixed if (name := graph.parameter_of(ref))]
    return list(dict.fromkeys(names))


def _passes(seen: Seen, index: int) -> bool:
    return seen.context.graph.sites[index].kind == "view"


# --- multipliers that the model has already ---------------------------------------------------------------------------


def _own(base: Seen, target: Seen) -> Iterator[Multiplier]:
    """Numbers around weights that the model's code derives from its width: the weight is to make up for them."""
    before, after = list(base.context.graph.weights), list(target.context.graph.weights)
    if len(before) != len(after):
        return
    ends = {b.last for b in target.context.branches}
    attended = {site for a in target.context.attentions for site in (*a.queries, *a.keys)}
    for old, index in zip(before, after, strict=True):
        name = target.context.graph.parameter_of(target.context.graph.weights[index].weight)
        have, had = _number(target, index), _number(base, old)
        if name is None or index in ends or index in attended or abs(have / had - 1) < 0.02:
            continue
        if len(target.uses.get(name, ())) > 1:
            continue
        site = target.context.graph.sites[index]
        folded = tuple((own, had / have) for own in affine(target, index)[:1])
        why = f"the model multiplies by {have:.3g} here, and by {had:.3g} at the base: already in the forward pass"
        yield Multiplier("multiplier of the model", site.name, site.path, had / have, folded, why, f"{TP4}, section 3")


def _number(seen: Seen, index: int) -> float:
    """The fixed numbers that a weight's input and output are multiplied by."""
    graph, total, end = seen.context.graph, 1.0, index
    while len(readers := graph.consumers[end]) == 1 and graph.sums.scales(readers[0]):
        total *= graph.sums.factor(readers[0], end) or 1.0
        end = readers[0]
    data = graph.weights[index].data
    while data is not None and graph.sums.scales(data.site):
        read = graph.data(data.site)[0]
        total, data = total * (graph.sums.factor(data.site, read.site) or 1.0), read
    return total
