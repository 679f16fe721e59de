"""What grows: for every parameter which of its dimensions follow the width, and which share its depth has."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

from gainstage.errors import GainstageError
from gainstage.plan.roles import Use
from gainstage.signal import Branch
from gainstage.transfer._match import Seen

KINDS = {
    "hidden": "a matrix of which both sides grow",
    "input": "a weight that reads a fixed number of values",
    "embedding": "a table of rows that grow",
    "output": "a weight that writes a fixed number of values",
    "vector": "one number a unit: bias, norm scale, depthwise kernel, position, decay rate",
    "tied": "one table that embeds and reads out",
    "fixed": "nothing of it grows",
}


@dataclass(frozen=True)
class Growth:
    """How one parameter grows from base to target.

    Attributes:
        kind: a key of `KINDS`.
        base: name of the parameter of the base that does the same.
        grows: names of what grows: `fan-in`, `fan-out`, `head size`, `heads`, `vocabulary`, `depth`.
        fan_in, fan_out: how many times the base's they are, as the parameter is used; 1 where they stay.
        depth: how many times as many branches its residual stream has; 1 outside of branches.
        ends: it is the last parameter of its branch, or shifts it.
        why: shapes and use in a sentence.
        fans: of a weight at the target, and whether it is stored as (in, out).
        matrix: a weight with two axes between hidden units, as Muon takes.
    """

    kind: str
    base: str
    grows: tuple[str, ...]
    fan_in: float
    fan_out: float
    depth: float
    ends: bool
    why: str
    fans: tuple[float, float] | None = None
    transposed: bool = False
    matrix: bool = False


def growths(partner: Mapping[str, str], base: Seen, target: Seen) -> dict[str, Growth]:
    """What grows in every parameter of the target.

    Raises:
        GainstageError: nothing grows although the sizes differ.
    """
    inside, ends = _places(target)
    ratio = depths(base, target)
    found = {}
    for name, own in partner.items():
        deep = ratio.get(inside.get(name, -1), 1.0)
        found[name] = _growth(base, target, own, name, deep, name in ends)
    return found


def check_grown(growth: Mapping[str, Growth], sizes: str, base: Seen, target: Seen) -> None:
    """Raise where the sizes differ and the models do not."""
    if len(base.uses) != len(target.uses) or any(g.grows for g in growth.values()) or not growth:
        return
    name = max(growth, key=lambda name: (len(target.shapes[name]) > 1, prod(target.shapes[name])))
    raise GainstageError(
        f"no parameter grows from {sizes}: {name!r} has shape {tuple(target.shapes[name])} at both, and the largest "
        "parameter was expected to follow the width on one side at least. The factory does not use its argument"
    )


def depths(base: Seen, target: Seen) -> dict[int, float]:
    """For every residual stream of the target, how many times as many branches it has."""
    few, many = base.context.stream_sizes, target.context.stream_sizes
    if not few or not many:
        return {}
    if len(few) == len(many):
        pairs = zip(sorted(many), sorted(few), strict=True)
        return {stream: many[stream] / few[own] for stream, own in pairs}
    return dict.fromkeys(many, sum(many.values()) / sum(few.values()))


def within(seen: Seen, branch: Branch) -> Iterator[int]:
    """The sites of a branch, from where it leaves the stream to where it is added."""
    graph = seen.context.graph
    end = branch.branch.site
    yield from (i for i in range(branch.start + 1, end + 1) if graph.depends(end, i) and graph.depends(i, branch.start))


def _places(seen: Seen) -> tuple[dict[str, int], set[str]]:
    """The stream of every parameter that is read in a branch, and the parameters that end one."""
    stream: dict[int, int] = {}
    ends: set[int] = set()
    for branch in seen.context.branches:
        stream |= dict.fromkeys(within(seen, branch), branch.stream)
        if branch.last is not None:
            ends.add(branch.last)
    inside = {
        name: stream[use.site] for name, uses in seen.uses.items() for use in uses if use.site in stream
    }  # fmt: skip
    return inside, {name for name, uses in seen.uses.items() if any(use.site in ends for use in uses)}


def _growth(base: Seen, target: Seen, own: str, name: str, depth: float, ends: bool) -> Growth:
    small, large = base.shapes[own], target.shapes[name]
    if len(small) != len(large):
        raise GainstageError(
            f"the sizes differ in structure: {name!r} has shape {large} at the target and {own!r} has {small} at the "
            "base; expected as many axes"
        )
    before, after = base.uses[own], target.uses[name]
    slots = {use.slot for use in after}
    grows: list[str] = []
    fan_in = fan_out = 1.0
    use = next((use for use in after if use.slot == "weight"), after[0])
    old = next((use for use in before if use.slot == "weight"), before[0])
    sides = _sides(base, old, own), _sides(target, use, name)
    fans: tuple[float, float] | None = None
    transposed = False
    if sides[0] and sides[1]:
        fan_in, fan_out = sides[1][0] / sides[0][0], sides[1][1] / sides[0][1]
        call = target.context.graph.weights.get(use.site)
        grouped = call is not None and call.family == "conv" and large[1] == 1 and large[0] > 1
        kind = "hidden" if fan_in != 1 and fan_out != 1 else "output" if fan_in != 1 else "input"
        kind = "fixed" if fan_in == fan_out == 1 else "vector" if kind == "input" and grouped else kind
        fans = (use.fans.fan_in, use.fans.fan_out) if use.fans else None
        transposed = use.transposed
        if "table" in slots and "weight" in slots:
            kind, fan_in, fan_out = "tied", 1.0, sides[1][0] / sides[0][0]
        told = f"fan-in {sides[0][0]:g} to {sides[1][0]:g}, fan-out {sides[0][1]:g} to {sides[1][1]:g}"
    elif "table" in slots:
        fan_out = large[-1] / small[-1]
        kind = "embedding" if fan_out != 1 else "fixed"
        told = f"rows of {small[-1]} to {large[-1]}"
    else:
        fan_out = prod(large) / prod(small)
        kind = "vector" if fan_out != 1 else "fixed"
        told = f"{after[0].slot}, {prod(small)} to {prod(large)} numbers"
    if "table" in slots and large[0] != small[0]:
        grows.append("vocabulary")
    if fan_in != 1:
        grows.append("fan-in")
    if fan_out != 1:
        grows.append(_outwards(base, target, old, use) or "fan-out")
    if depth != 1:
        grows.append("depth")
        told += f", in {depth:g} times as many branches"
    matrix = len(large) == 2 and "table" not in slots and _between_units(target, use)
    return Growth(kind, own, tuple(grows), fan_in, fan_out, depth, ends, told, fans, transposed, matrix)


def _between_units(seen: Seen, use: Use) -> bool:
    graph = seen.context.graph
    call = graph.weights.get(use.site)
    if call is None or call.data is None or use.slot != "weight" or seen.context.is_head(use.site):
        return False
    return graph.sites[graph.source(call.data)].kind != "input"


def _sides(seen: Seen, use: Use, name: str) -> tuple[float, float] | None:
    """How many values a weight sums, and how many units it writes; None for what is no weight."""
    graph, shape = seen.context.graph, seen.shapes[name]
    call = graph.weights.get(use.site)
    if use.slot == "weight" and call is not None:
        return call.fans.fan_in, float(graph.units(call)[0])
    if use.slot.startswith("recurrent") and use.fans is not None:
        return use.fans.fan_in, use.fans.fan_out
    if use.slot == "reparameterized" and call is not None and len(shape) > 1 and shape[1] > 1:
        return call.fans.fan_in, float(graph.units(call)[0])
    return None


def _outwards(base: Seen, target: Seen, old: Use, use: Use) -> str:
    """Whether the outputs of a query, key or value grow by their heads, or by the size of each."""
    if use.site not in target.context.attention_parts or "attention output" in target.context.attention_parts[use.site]:
        return ""
    sizes = [
        {a.head_dim for a in seen.context.attentions if site in (*a.queries, *a.keys, *a.values)}
        for seen, site in ((base, old.site), (target, use.site))
    ]
    return "" if not all(sizes) else "heads" if sizes[0] == sizes[1] else "head size"
