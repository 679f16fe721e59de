"""What a tape says about structure: who uses each parameter, what becomes of a weight's output, what a signal is."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gainstage.signal._calls import (
    ADDS,
    DROPOUTS,
    ELEMENTWISE,
    LOSSES,
    MATMULS,
    NORMS,
    POOLS,
    PRODUCTS,
    RECURRENT,
    SPLITS,
    WeightCall,
    norm_parameters,
    weight_call,
)
from gainstage.signal._tape import Ref, Site, Tape


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

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.sites = tape.sites
        self.shapes = {site.index: site.shape for site in tape.sites}
        self.consumers = tape.consumers()
        self.outputs = {ref.site for ref in tape.outputs}
        constant: set[int] = set()
        for site in tape.sites:
            reads = [ref.site for ref in site.inputs]
            looks_up = site.op in ("embedding", "embedding_bag")  # a table is read, though perhaps at fixed positions
            if site.kind in ("parameter", "buffer", "constant") or (
                reads and constant.issuperset(reads) and not looks_up
            ):
                constant.add(site.index)
        self.constant = frozenset(constant)
        self._regions: dict[int, dict[int, Tensor]] = {}
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
        if site.kind == "view" or site.op in DROPOUTS:
            return True
        if site.op in ("add", "sub") and len(self.data(index)) == 1 and len(site.inputs) == 2:
            return all(self.sites[r.site].kind != "buffer" for r in site.inputs if r.site in self.constant)
        return site.op in PRODUCTS and len(site.inputs) == 1

    def source(self, ref: Ref) -> int:
        """The site behind transparent ones that made this signal."""
        index = ref.site
        while self.transparent(index) and (reads := self.data(index)):
            index = reads[0].site
        return index

    def normalizes(self, index: int) -> bool:
        """Whether a site divides a signal by its own mean square, however it is written (RMSNorm by hand too)."""
        site = self.sites[index]
        if site.op in NORMS:
            return True
        if site.op not in PRODUCTS or len(reads := self.data(index)) != 2:
            return False
        return any(self._is_scale_of(scale, signal) for signal, scale in (reads, reads[::-1]))

    def _is_scale_of(self, scale: Ref, signal: Ref) -> bool:
        """`scale` is computed from a mean, variance or norm of `signal`, keeping one number for many entries."""
        index, seen_reduction = scale.site, False
        for _ in range(8):
            site = self.sites[index]
            if site.op in ("mean", "var", "std", "norm", "vector_norm", "linalg_vector_norm", "linalg_norm"):
                seen_reduction = True
                break
            reads = self.data(index)
            if len(reads) != 1 or (site.op not in ELEMENTWISE and site.kind != "view"):
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
                if site.op not in NORMS:
                    start = min(self._before_centring(self.source(ref)) for ref in self.data(site.index))
                    between = range(start + 1, site.index)
                    found.update(j for j in between if self.depends(site.index, j) and self.depends(j, start))
        return frozenset(found)

    def _before_centring(self, index: int) -> int:
        """What a mean was subtracted from at this site; the site itself where none was."""
        reads = self.data(index)
        if self.sites[index].op == "sub" and len(reads) == 2 and self.sites[self.source(reads[1])].op == "mean":
            return self.source(reads[0])
        return index

    # --- parameters ----------------------------------------------------------------------------------------------

    def parameter_of(self, ref: Ref) -> str | None:
        """The parameter behind an argument, through views and look-ups; None where it is computed."""
        index = ref.site
        while self.sites[index].kind == "view" or self.sites[index].op in _LOOKUPS:
            index = self.sites[index].inputs[0].site
        return self.sites[index].path if self.sites[index].kind == "parameter" else None

    def units(self, call: WeightCall) -> tuple[int, int]:
        """Output units and input units (channels) of a weight as it is stored, groups not counted."""
        shape = self.shapes[call.weight.site]
        if call.family == "embedding":
            return shape[-1], 1
        swapped = call.transposed or call.family == "conv_transpose"
        return (shape[-1], shape[-2]) if call.transposed else (shape[1], shape[0]) if swapped else (shape[0], shape[1])

    def stored_transposed(self, call: WeightCall) -> bool:
        """Whether the parameter behind a weight is stored as (in, out), views between it and the call counted."""
        index, turns = call.weight.site, 0
        while self.sites[index].kind == "view":
            turns += self.sites[index].op in _TURNS
            index = self.sites[index].inputs[0].site
        return call.transposed ^ bool(turns % 2)

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
                if site.op not in NORMS:
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
            if site.op in ("mul", "add") and len(constants) == 1:
                yield ("scale" if site.op == "mul" else "shift"), self.parameter_of(constants[0])
            elif site.kind != "view":
                return

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
                if reader not in self.inside_norms and (self.transparent(reader) or self.sites[reader].op in POOLS):
                    todo.append(reader)
                elif not (kind := self._fate(reader)):
                    continue
                else:
                    found.append(Fate(kind, reader, current))
        return found

    def _fate(self, index: int) -> str:
        site = self.sites[index]
        if site.kind == "loss" or site.op in LOSSES:
            return "loss"
        if site.dtype.startswith(("int", "bool", "uint")):
            return ""
        if index in self.inside_norms:
            return "norm"
        if index in self.weights or site.op in RECURRENT:
            return "weight"
        if site.op in ("softmax", "log_softmax"):
            return "softmax"
        if site.op == "scaled_dot_product_attention" or site.op in MATMULS:
            return "attention"
        if site.op == "glu":
            return "gate"
        reads = {ref.site for ref in self.data(index)}
        if site.op in ("add", "sub") and len(reads) == 2:
            return "add"
        if site.op in PRODUCTS and len(reads) == 2:
            return "gate"
        if site.op in PRODUCTS and len(site.inputs) == 2:
            return "scale"
        return "activation" if site.op in ELEMENTWISE else "other"

    # --- activations -----------------------------------------------------------------------------------------------

    def region(self, index: int) -> dict[int, Tensor]:
        """The elementwise functions of one site's output: every site that is one, with its values at `POINTS`.

        However it is written (`F.gelu`, `x * sigmoid(x)`, powers and tanh), the values are those of the composite
        function, found by calling the same functions again. Pooling hands the values on.
        """
        if index in self._regions:
            return self._regions[index]
        values = {index: POINTS}
        todo = sorted(self.consumers[index])
        while todo:
            current = todo.pop(0)
            if current in values:
                continue
            value = self.evaluate(current, values)
            pooled = self.sites[current].op in POOLS and self.data(current)
            if value is None and pooled and current not in self.inside_norms:
                value = values.get(self.data(current)[0].site)
            if value is not None:
                values[current] = value
                todo = sorted({*todo, *self.consumers[current]})
        self._regions[index] = values
        return values

    def activation(self, index: int) -> int | None:
        """The one site at which everything elementwise behind `index` leaves; None if it leaves at several or not.

        `index` itself is returned where nothing elementwise follows.
        """
        region = self.region(index)
        leaving = [i for i in region if i in self.outputs or any(r not in region for r in self.consumers[i])]
        return leaving[0] if len(leaving) == 1 else None

    def activation_name(self, index: int) -> str:
        """Name of the activation behind a site: the operation, or the module where it is several; empty for none."""
        inner = [self.sites[i] for i in self.region(index) if i != index and not self.transparent(i)]
        acts = [site for site in inner if site.op in ELEMENTWISE]
        if not acts:
            return ""
        return acts[0].op if len(acts) == 1 else acts[-1].module.lower()

    def evaluate(self, index: int, values: Mapping[int, Tensor]) -> Tensor | None:
        """The values of an elementwise site, given those of what it reads; None where it is not elementwise in them."""
        site = self.sites[index]
        reads = site.inputs
        if site.op in ADDS and self.transparent(index):
            return values.get(self.data(index)[0].site)  # a bias
        if not reads or site.kind == "loss" or any(ref.site not in values for ref in reads):
            return None
        first = values[reads[0].site]
        if site.op in DROPOUTS or (site.kind == "view" and site.op not in SPLITS):
            return first
        if site.op not in ELEMENTWISE or site.function is None:
            return None
        return call_again(site, lambda ref: values[ref.site])


_TURNS = frozenset({"t", "T", "mT", "H", "mH", "transpose", "permute", "adjoint", "swapaxes", "swapdims"})
_LOOKUPS = frozenset({"getitem", "index_select", "gather", "take_along_dim"})
POINTS = torch.linspace(-4.0, 4.0, 81, dtype=torch.float64, device="cpu")


def call_again(site: Site, value_of: Callable[[Ref], Tensor]) -> Tensor | None:
    """The site's function on other values of the same shape; None where it refuses them."""

    def put(value: Any) -> Any:
        if isinstance(value, Ref):
            return value_of(value).clone()
        if isinstance(value, tuple):
            return tuple(put(item) for item in value)
        return {k: put(v) for k, v in value.items()} if isinstance(value, dict) else value

    expected = value_of(site.inputs[0])
    results = []
    for args, kwargs in _quieter(site.args, site.kwargs):
        try:
            with torch.no_grad():
                first, second = (_drawn(seed, site.function, put(args), put(kwargs)) for seed in (0, 1))
        except Exception:
            return None
        if not isinstance(first, Tensor) or first.shape != expected.shape:
            return None
        if torch.equal(first, second):
            return first.double()
        results.append(first.double())
    return results[0]


def _quieter(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments, and for a function that draws numbers, each with one switch (`training`) turned off."""
    yield args, kwargs
    for position, value in enumerate(args):
        if value is True:
            yield (*args[:position], False, *args[position + 1 :]), kwargs
    for name, value in kwargs.items():
        if value is True:
            yield args, {**kwargs, name: False}


def _drawn(seed: int, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The function's answer under a random state of its own."""
    before = torch.default_generator.get_state()
    try:
        torch.default_generator.manual_seed(seed)
        return function(*args, **kwargs)
    finally:
        torch.default_generator.set_state(before)
