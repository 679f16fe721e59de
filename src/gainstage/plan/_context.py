"""Everything about structure that choosing a law asks for, found once per graph."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from gainstage.plan._chains import Chain, chains
from gainstage.plan._uses import Use, uses
from gainstage.signal import Attention, Branch, Graph, attentions, branches, ops, walk
from gainstage.theory import Forward, leaves


@dataclass
class Context:
    """The graph, and the places of weights in it by site.

    Attributes:
        graph: structure of the recorded pass.
        frozen: parameters that do not require a gradient.
        levels: the levels of all sites so far, while laws are being chosen by them.
    """

    graph: Graph
    frozen: frozenset[str] = field(default_factory=frozenset)
    levels: Forward = field(init=False)

    @cached_property
    def uses(self) -> dict[str, list[Use]]:
        return uses(self.graph)

    @cached_property
    def chains(self) -> list[Chain]:
        return chains(self.graph)

    @cached_property
    def branches(self) -> list[Branch]:
        return branches(self.graph)

    @cached_property
    def attentions(self) -> list[Attention]:
        return attentions(self.graph)

    @cached_property
    def branch_ending_at(self) -> dict[int, Branch]:
        """Branches by the site of their last weight or normalization; those with a learned scale left out."""
        return {b.last: b for b in self.branches if b.last is not None and not b.scaled}

    @cached_property
    def branches_ended_by(self) -> dict[str, int]:
        """How many branches the same last weight or norm scale ends."""
        return Counter(name for branch in self.branches if (name := self.end_of(branch)))

    def end_of(self, branch: Branch) -> str:
        """The parameter that ends a branch; empty where it is none."""
        if branch.last is None:
            return ""
        call = self.graph.weights.get(branch.last)
        scale = self.graph.norm_calls.get(branch.last, {}).get("scale")
        return (self.graph.parameter_of(call.weight) if call else scale) or ""

    @cached_property
    def stream_sizes(self) -> dict[int, int]:
        """How many branches share each stream."""
        sizes: dict[int, int] = {}
        for branch in self.branches:
            sizes[branch.stream] = sizes.get(branch.stream, 0) + 1
        return sizes

    @cached_property
    def summed_tables(self) -> dict[int, frozenset[int]]:
        """For every embedding site, the embeddings that are added up with it, itself included."""
        behind: dict[int, frozenset[int]] = {}
        groups: dict[int, frozenset[int]] = {}
        for site in self.graph.sites:
            index = site.index
            reads = self.graph.data(index)
            if (call := self.graph.weights.get(index)) and call.family == "embedding":
                behind[index] = frozenset({index})
            elif reads and (ops.of(site).kind == "add" or self.graph.transparent(index)):
                sets = [behind.get(ref.site) for ref in reads]
                if all(sets):
                    behind[index] = frozenset().union(*(s for s in sets if s))
            for table in behind.get(index, ()):
                groups[table] = max(groups.get(table, frozenset()), behind[index], key=len)
        return groups

    @cached_property
    def attention_parts(self) -> dict[int, tuple[str, ...]]:
        """Which of `query`, `key` and `value` a weight site makes; `attention output` where it reads the result."""
        parts = {site: ("attention output",) for attention in self.attentions for site in attention.outputs}
        made: dict[int, dict[str, None]] = {}
        for attention in self.attentions:
            for name, sites in (
                ("query", attention.queries),
                ("key", attention.keys),
                ("value", attention.values),
            ):
                for site in sites:
                    made.setdefault(site, {})[name] = None
        return parts | {site: tuple(names) for site, names in made.items()}

    def logits_scale(self, site: int) -> float:
        """Mean square of the attention logits that queries and keys of level 1 from this site give; 1 if unknown."""
        for attention in self.attentions:
            if site in attention.queries and (level := attention.logits_level()) is not None:
                return level
        return 1.0

    def is_head(self, site: int) -> bool:
        """Whether a weight's output is the network's, up to an output activation."""
        if self.graph.weights[site].family == "embedding":
            return False
        end = leaves(self.graph, site)
        last = site if end is None else end
        kinds = {fate.kind for fate in self.graph.fates(last)}
        reaches = kinds & {"output", "loss"} or self._softmax_is_output(last)
        return (bool(reaches) and kinds <= {"output", "loss", "softmax"}) or self._is_last(site)

    def _is_last(self, site: int) -> bool:
        """Whether nothing that is learned stands between a weight and the outputs, and nothing learned is joined to it.

        Fixed matrices, selections, rearrangements and affine maps may: of a graph's last layer, of actions and atoms.
        """
        graph, reaches = self.graph, site in self.graph.outputs
        seen = {site}
        for index in walk([site], lambda at: [r for r in graph.consumers[at] if graph.sites[r].kind != "loss"]):
            seen.add(index)
            reaches = reaches or index in graph.outputs
            if index == site:
                continue
            op = ops.of(graph.sites[index])
            if index in graph.weights or op.kind in ("recurrent", "attention", "norm", "unknown"):
                return False
            joins = op.kind in ("product", "matmul", "add", "blend", "join")
            if joins and any(ref.site in self._learned and ref.site not in seen for ref in graph.sites[index].inputs):
                return False
        return reaches

    @cached_property
    def _learned(self) -> frozenset[int]:
        """The signals that depend on a parameter that is trained."""
        found: set[int] = set()
        for site in self.graph.sites:
            trained = site.kind == "parameter" and site.path not in self.frozen
            if trained or any(ref.site in found for ref in site.inputs):
                found.add(site.index)
        return frozenset(found - set(self.graph.constant))

    def _softmax_is_output(self, site: int) -> bool:
        softmaxes = [fate.site for fate in self.graph.fates(site) if fate.kind == "softmax"]
        return any(fate.kind in ("output", "loss") for s in softmaxes for fate in self.graph.fates(s))

    def is_scale_free(self, site: int) -> bool:
        """Whether everything that reads this site normalizes it first."""
        kinds = {fate.kind for fate in self.graph.fates(site)}
        return kinds == {"norm"}
