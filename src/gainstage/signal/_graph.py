"""What a tape says about structure: who uses each parameter, what becomes of a weight's output, what a signal is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gainstage.signal import ops
from gainstage.signal._again import call_again
from gainstage.signal._calls import WeightCall, norm_parameters, weight_call
from gainstage.signal._sites import Ref, Sites
from gainstage.signal._sums import Sums


@dataclass(frozen=True)
class Fate:
    """What becomes of a signal: the first site that decides.

    `kind` is `"activation"`, `"norm"`, `"add"`, `"softmax"`, `"attention"`, `"gate"`, `"scale"`, `"weight"`,
    `"output"`, `"loss"` or `"other"`; `site` is where; `via` is the Ref that arrives there.
    """

    kind: str
    site: int
    via: int


class Graph:
    """The structure of one tape.

    Args:
        tape: what `record` returned; the moments are not needed, so a meta-device tape will do.

    Example:
        >>> import torch, gainstage as gs
        >>> from gainstage.signal import Graph
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> graph = Graph(gs.record(model, torch.ones(2, 4)))
        >>> [(graph.parameter_of(call.weight), graph.fates(site)[0].kind) for site, call in graph.weights.items()]
        [('0.weight', 'activation'), ('2.weight', 'output')]
    """

    def __init__(self, tape: Sites) -> None:
        self.tape = tape
        self.sites = tape.sites
        self.shapes = {site.index: site.shape for site in tape.sites}
        self.consumers = tape.consumers()
        self.outputs = {ref.site for ref in tape.outputs}
        constant: set[int] = set()
        for site in tape.sites:
            reads = [ref.site for ref in site.inputs]
            looks_up = ops.of(site).kind == "embedding"  # a table is read, though perhaps at fixed positions
            if site.kind in ("parameter", "buffer", "constant") or (
                reads and constant.issuperset(reads) and not looks_up
            ):
                constant.add(site.index)
        self.constant = frozenset(constant)
        self.weights: dict[int, WeightCall] = {}
        for site in tape.sites:
            if site.kind == "op" and (call := weight_call(site, self.shapes, self.constant)):
                self.weights[site.index] = call

    # --- walking -----------------------------------------------------------------------------------------------

    def data(self, site: int) -> list[Ref]:
        """What a site reads that depends on the inputs."""
        return [ref for ref in self.sites[site].inputs if ref.site not in self.constant]

    @cached_property
    def ancestors(self) -> list[int]:
        """For every site, the set of sites that it depends on, itself included, as a bit set."""
        found: list[int] = []
        for site in self.sites:
            bits = 1 << site.index
            for ref in site.inputs:
                bits |= found[ref.site]
            found.append(bits)
        return found

    def depends(self, site: int, on: int) -> bool:
        """Whether `site` depends on `on`."""
        return bool(self.ancestors[site] >> on & 1)

    def transparent(self, index: int) -> bool:
        """Whether a site hands one signal on up to scale: views, dropout, biases, multiplication by a number."""
        site = self.sites[index]
        passes = site.kind == "view" or ops.of(site).kind == "dropout" or self.adds_bias(index)
        return passes or self.sums.scales(index)

    def adds_bias(self, index: int) -> bool:
        """Whether a site adds one tensor that does not depend on the inputs, and is no buffer, to one that does."""
        site = self.sites[index]
        if ops.of(site).kind != "add" or len(self.data(index)) != 1 or len(site.inputs) != 2:
            return False
        return all(self.sites[ref.site].kind != "buffer" for ref in site.inputs if ref.site in self.constant)

    def source(self, ref: Ref) -> int:
        """The site behind transparent ones that made this signal."""
        index = ref.site
        while self.transparent(index) and (reads := self.data(index)):
            index = reads[0].site
        return index

    def normalizes(self, index: int) -> bool:
        """Whether a site divides a signal by its own mean square, however it is written (RMSNorm by hand too)."""
        kind = ops.of(self.sites[index]).kind
        if kind == "norm":
            return True
        if kind != "product" or len(reads := self.data(index)) != 2:
            return False
        return any(self._is_scale_of(scale, signal) for signal, scale in (reads, reads[::-1]))

    def _is_scale_of(self, scale: Ref, signal: Ref) -> bool:
        """`scale` is computed from a mean, variance or norm of `signal`, keeping one number for many entries."""
        index, seen_reduction = scale.site, False
        for _ in range(8):
            site = self.sites[index]
            if ops.of(site).levels:
                seen_reduction = True
                break
            reads = self.data(index)
            if len(reads) != 1 or not (ops.of(site).elementwise or site.kind == "view"):
                return False
            index = reads[0].site
        if not seen_reduction or self.shapes[scale.site] == self.shapes[signal.site]:
            return False
        origin = self.source(signal)
        origin_reads = [origin, *(ref.site for ref in self.data(origin))]
        return any(self.depends(index, o) and o not in self.constant for o in origin_reads)

    @cached_property
    def inside_norms(self) -> frozenset[int]:
        """Normalizations, with the sites in between where one is written by hand."""
        found: set[int] = set()
        for site in self.sites:
            if site.kind == "op" and self.normalizes(site.index):
                found.add(site.index)
                if ops.of(site).kind != "norm":
                    start = min(self._before_centring(self.source(ref)) for ref in self.data(site.index))
                    between = range(start + 1, site.index)
                    found.update(j for j in between if self.depends(site.index, j) and self.depends(j, start))
        return frozenset(found)

    def _before_centring(self, index: int) -> int:
        """What a mean was subtracted from at this site; the site itself where none was."""
        reads = self.data(index)
        subtracts = ops.of(self.sites[index]).name == "sub" and len(reads) == 2
        if subtracts and self.sites[self.source(reads[1])].op == "mean":
            return self.source(reads[0])
        return index

    # --- parameters ----------------------------------------------------------------------------------------------

    def parameter_of(self, ref: Ref) -> str | None:
        """The parameter behind an argument, through views and look-ups; None where it is computed."""
        index = ref.site
        while self.sites[index].kind == "view" or self._looks_up(index):
            index = self.sites[index].inputs[0].site
        return self.sites[index].path if self.sites[index].kind == "parameter" else None

    def _looks_up(self, index: int) -> bool:
        op = ops.of(self.sites[index])
        return op.kind == "lookup" or op.name == "getitem"

    def units(self, call: WeightCall) -> tuple[int, int]:
        """Output units and input units (channels) of a weight as it is stored, groups not counted."""
        shape = self.shapes[call.weight.site]
        if call.family == "embedding":
            return shape[-1], 1
        swapped = call.transposed or call.family == "conv_transpose"
        return (shape[-1], shape[-2]) if call.transposed else (shape[1], shape[0]) if swapped else (shape[0], shape[1])

    def stored_transposed(self, call: WeightCall) -> bool:
        """Whether the parameter behind a weight is stored as (in, out), views between it and the call counted."""
        index, turned = call.weight.site, False
        while self.sites[index].kind == "view":
            order = self.order(index)
            turned ^= order is not None and order[-2:] == (len(order) - 1, len(order) - 2)
            index = self.sites[index].inputs[0].site
        return call.transposed ^ turned

    def order(self, index: int) -> tuple[int, ...] | None:
        """The axes of its input in the order in which a transpose puts them; None for any other site."""
        site = self.sites[index]
        if not ops.of(site).turns:
            return None
        if site.function is None:  # a view of a matrix that was made behind our back
            return (1, 0)
        sizes = torch.empty(tuple(range(1, len(site.shape) + 1)), device="meta")  # axis k is the one of size k + 1
        args = tuple(sizes if isinstance(arg, Ref) else arg for arg in site.args)
        kwargs = {name: sizes if isinstance(arg, Ref) else arg for name, arg in site.kwargs.items()}
        try:
            return tuple(size - 1 for size in site.function(*args, **kwargs).shape)
        except (RuntimeError, TypeError, IndexError):
            return None

    def parameters_behind(self, ref: Ref) -> list[str]:
        """All parameters that an argument is computed from (weight norm, masks, quantization)."""
        bits = self.ancestors[ref.site]
        return [s.path for s in self.sites[: ref.site + 1] if s.kind == "parameter" and bits >> s.index & 1]

    @cached_property
    def norm_calls(self) -> dict[int, dict[str, str]]:
        """For every normalization, the names of its scale and shift."""
        found: dict[int, dict[str, str]] = {}
        for site in self.sites:
            if site.kind == "op" and self.normalizes(site.index):
                own = {slot: self.parameter_of(ref) for slot, ref in norm_parameters(site)}
                if ops.of(site).kind != "norm":
                    own = dict(self._affine_after(site.index))
                found[site.index] = {slot: name for slot, name in own.items() if name}
        return found

    def _affine_after(self, index: int) -> Iterator[tuple[str, str | None]]:
        """Scale and shift that follow a normalization written by hand."""
        for _ in range(6):
            readers = [r for r in self.consumers[index] if self.sites[r].kind in ("op", "view")]
            if len(readers) != 1:
                return
            index = readers[0]
            site = self.sites[index]
            constants = [ref for ref in site.inputs if self.parameters_behind(ref) and ref.site in self.constant]
            name = ops.of(site).name
            if name in ("mul", "add") and len(constants) == 1:
                yield ("scale" if name == "mul" else "shift"), self.parameter_of(constants[0])
            elif site.kind != "view":
                return

    @cached_property
    def sums(self) -> Sums:
        """Which sites are fixed sums of what they read."""
        return Sums(self.tape, self.constant, self.consumers)

    # --- fates ---------------------------------------------------------------------------------------------------

    def fates(self, index: int) -> list[Fate]:
        """Where the output of a site goes first, behind transparent sites."""
        found: list[Fate] = []
        todo, seen = [index], {index}
        while todo:
            current = todo.pop(0)
            if current in self.outputs:
                found.append(Fate("output", current, current))
            for reader in self.consumers[current]:
                if reader in seen:
                    continue
                seen.add(reader)
                if reader not in self.inside_norms and (self.transparent(reader) or self._pools(reader)):
                    todo.append(reader)
                elif not (kind := self._fate(reader)):
                    continue
                else:
                    found.append(Fate(kind, reader, current))
        return found

    def _fate(self, index: int) -> str:
        site, kind = self.sites[index], ops.of(self.sites[index]).kind
        if site.kind == "loss" or kind == "loss":
            return "loss"
        if site.dtype.startswith(("int", "bool", "uint")):
            return ""
        if index in self.inside_norms:
            return "norm"
        if index in self.weights or kind == "recurrent":
            return "weight"
        if kind in ("attention", "matmul"):
            return "attention"
        if kind in ("add", "product") and len({ref.site for ref in self.data(index)}) == 2:
            return "add" if kind == "add" else "gate"
        if kind == "product" and len(site.inputs) == 2:
            return "scale"
        named = {"softmax": "softmax", "gated": "gate"}
        return named.get(kind, "activation" if ops.of(site).elementwise else "other")

    def _pools(self, index: int) -> bool:
        return ops.of(self.sites[index]).pools

    # --- values -----------------------------------------------------------------------------------------------

    def evaluate(self, index: int, values: Mapping[int, Tensor]) -> Tensor | None:
        """The values of an elementwise site, given those of what it reads; None where it is not elementwise in them."""
        site, op = self.sites[index], ops.of(self.sites[index])
        reads = site.inputs
        if self.adds_bias(index):
            return values.get(self.data(index)[0].site)
        if not reads or site.kind == "loss" or any(ref.site not in values for ref in reads):
            return None
        first = values[reads[0].site]
        if op.kind == "dropout" or (site.kind == "view" and op.kind != "split"):
            return first
        if not op.elementwise or site.function is None:
            return None
        return call_again(site, lambda ref: values[ref.site])
