"""Who uses each parameter, and as what."""

from dataclasses import dataclass

from gainstage.init import Fans
from gainstage.signal import Graph, Ref, ops


@dataclass(frozen=True)
class Use:
    """One use of one parameter.

    Attributes:
        slot: `weight`, `table` (embedding), `bias`, `norm scale`, `norm shift`, `recurrent weight`,
            `recurrent input weight`, `recurrent projection`, `recurrent bias`, `learned scale`, `added table`,
            `attention bias`, `token`, `activation slope`, `reparameterized` (a weight is computed from it) or `other`.
        site: where.
        fans: of a weight, as it is used there.
        transposed: a weight stored as (in, out).
        gates: how many gates a recurrent parameter packs.
        first_bias: of the two biases of a recurrent layer, the one on the input's side.
    """

    slot: str
    site: int
    fans: Fans | None = None
    transposed: bool = False
    gates: int = 1
    first_bias: bool = False


_RECURRENT_SLOTS = {
    "weight_ih": "recurrent input weight",
    "weight_hh": "recurrent weight",
    "weight_hr": "recurrent projection",
    "bias_ih": "recurrent bias",
    "bias_hh": "recurrent bias",
}


def uses(graph: Graph) -> dict[str, list[Use]]:
    """Every use of every parameter on the tape, in execution order."""
    found: dict[str, list[Use]] = {site.path: [] for site in graph.sites if site.kind == "parameter"}
    norm_names = {
        name: (slot, index) for index, parameters in graph.norm_calls.items() for slot, name in parameters.items()
    }
    for site in graph.sites:
        if site.kind != "op" or site.index in graph.constant:
            continue
        call = graph.weights.get(site.index)
        for ref in dict.fromkeys(site.inputs):
            if ref.site not in graph.constant:
                continue
            name = graph.parameter_of(ref)
            if name is None:
                for behind in graph.parameters_behind(ref):
                    slot, where = norm_names.get(behind, ("", 0))
                    use = Use(f"norm {slot}", where) if slot else Use("reparameterized", site.index)
                    found[behind].append(use)
            elif call and ref == call.weight:
                slot = "table" if call.family == "embedding" else "weight"
                found[name].append(Use(slot, site.index, call.fans, graph.stored_transposed(call)))
            elif call and ref == call.bias:
                found[name].append(Use("bias", site.index))
            elif name in norm_names:
                slot, where = norm_names[name]
                found[name].append(Use(f"norm {slot}", where))
            elif ops.of(site).kind == "recurrent":
                found[name].append(_recurrent(graph, ref, name, site.index))
            else:
                found[name].append(Use(_slot(graph, site.index, ref), site.index))
    return found


def _recurrent(graph: Graph, ref: Ref, name: str, site: int) -> Use:
    last = name.rsplit(".", 1)[-1]
    slot = next((slot for start, slot in _RECURRENT_SLOTS.items() if last.startswith(start)), None)
    shape = graph.shapes[ref.site]
    gates = ops.of(graph.sites[site]).gates
    if slot is None:
        square = len(shape) == 2 and shape[0] == gates * shape[1]
        slot = "recurrent bias" if len(shape) == 1 else "recurrent weight" if square else "recurrent input weight"
    gates = 1 if slot == "recurrent projection" else gates
    fans = Fans(shape[1], shape[0] // gates) if len(shape) == 2 else None
    biases = [r for r in graph.sites[site].inputs if r.site in graph.constant and len(graph.shapes[r.site]) == 1]
    first = ref in biases and (last.startswith("bias_ih") or (biases.index(ref) % 2 == 0 and "bias_hh" not in last))
    return Use(slot, site, fans, gates=gates, first_bias=first)


def _slot(graph: Graph, index: int, ref: Ref) -> str:
    """The slot of a parameter that stands in an ordinary operation."""
    op, shape = ops.of(graph.sites[index]), graph.shapes[ref.site]
    if op.name in ("prelu", "rrelu"):
        return "activation slope"
    if op.kind == "add":
        return "bias" if sum(size > 1 for size in shape) <= 1 else "added table"
    if op.kind == "blend":
        return "bias" if ref == ops.argument(graph.sites[index], "input") else "learned scale"
    if op.kind == "product":
        return "learned scale"
    if op.kind in ("attention", "softmax"):
        return "attention bias"
    return "token" if op.kind == "join" or op.name == "where" else "other"
