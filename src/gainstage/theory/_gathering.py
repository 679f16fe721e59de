"""What an operation gathers: over how many positions or units it averages, which keys a query sees."""

from dataclasses import replace
from math import prod

from gainstage.signal import Call, Graph, Ref, Site, ops


def gathering(graph: Graph, site: Site, call: Call) -> Call:
    """The call with what `_mixing` asks of it."""
    shapes = tuple(graph.shapes[ref.site] for ref in graph.data(site.index))
    kind = ops.of(site).kind
    if not shapes:
        return call
    call = replace(call, shapes=shapes, enlarged=prod(site.shape) / max(prod(shapes[0]), 1))
    if kind == "average" or site.op == "sum":
        n = max(round(prod(shapes[0]) / max(prod(site.shape), 1)), 1)
        if (size := ops.argument(site, "kernel_size")) is not None:
            axes = int(site.op[-2])
            n = size**axes if isinstance(size, int) else prod(size) if len(size) > 1 else size[0] ** axes
        units = unit_axis(graph, site.index, len(shapes[0]))
        return replace(
            call, gathered=n, places=places(graph, site.index, shapes[0]), over_units=units in _axes(site, shapes[0])
        )
    if kind == "softmax":
        axis = ops.argument(site, "dim", -1)
        last = site.shape[axis if isinstance(axis, int) else -1]
        return replace(call, gathered=last, causal=_masked(graph, site))
    if kind == "attention":
        key, scale = graph.shapes[ops.argument(site, "key").site], ops.argument(site, "scale")
        query, mask = graph.shapes[ops.argument(site, "query").site], ops.argument(site, "attn_mask")
        causal = bool(ops.argument(site, "is_causal", False)) or (
            isinstance(mask, Ref) and _square(graph.shapes[mask.site])
        )
        return replace(
            call,
            gathered=key[-2],
            causal=causal and query[-2] == key[-2],
            depth=query[-1],
            scale=float(scale) if isinstance(scale, int | float) else query[-1] ** -0.5,
        )
    if kind == "matmul" and len(shapes) == 2:
        depth, alpha = _depth(site, shapes), site.kwargs.get("alpha", 1.0)  # of baddbmm
        scale = float(alpha) if isinstance(alpha, int | float) else 1.0
        return replace(call, depth=depth, scale=scale, used=prod(site.shape) * depth / max(prod(shapes[call.to]), 1))
    return call


def unit_axis(graph: Graph, index: int, axes: int) -> int:
    """The axis of the units (channels) of what a site reads: 1 behind a convolution, else the last."""
    seen = 0
    while seen < 200 and (reads := graph.data(index)):
        index, seen = reads[0].site, seen + 1
        if (call := graph.weights.get(index)) is not None:
            convolves = call.family.startswith("conv") and len(graph.shapes[index]) == axes
            return 1 if convolves else axes - 1
    return 1 if axes >= 4 else axes - 1


def places(graph: Graph, index: int, shape: tuple[int, ...]) -> int:
    """How many positions a sample has, in what a site reads."""
    units = shape[unit_axis(graph, index, len(shape))] if shape else 1
    return max(prod(shape[1:]) // max(units, 1), 1)


def _axes(site: Site, shape: tuple[int, ...]) -> set[int]:
    """The axes that a mean is taken over; of a pooling the last ones."""
    if site.op not in ("mean", "sum"):
        return set(range(2, len(shape)))
    axis = ops.argument(site, "dim")
    if axis is None:
        return set(range(len(shape)))
    return {a % len(shape) for a in ((axis,) if isinstance(axis, int) else axis)}


def _masked(graph: Graph, site: Site) -> bool:
    """Whether logits were masked by a square mask on their way."""
    index = site.index
    for _ in range(6):
        reads = graph.data(index)
        if not reads:
            return False
        index = reads[0].site
        here = graph.sites[index]
        if ops.of(here).kind == "matmul":
            return False
        others = [ref for ref in here.inputs if ref != graph.data(index)[0]] if graph.data(index) else []
        if here.kind == "op" and len(here.shape) >= 2 and any(_square(graph.shapes[ref.site]) for ref in others):
            return here.shape[-1] == here.shape[-2]
    return False


def _square(shape: tuple[int, ...]) -> bool:
    return len(shape) >= 2 and shape[-1] == shape[-2] > 1


def _depth(site: Site, shapes: tuple[tuple[int, ...], ...]) -> int:
    """How many products a contraction adds up."""
    if site.op == "einsum" and isinstance(site.args[0], str) and "->" in site.args[0] and "." not in site.args[0]:
        operands, result = site.args[0].replace(" ", "").split("->")
        sizes = {
            c: n
            for letters, shape in zip(operands.split(","), shapes, strict=False)
            for c, n in zip(letters, shape, strict=False)
        }
        return prod(n for c, n in sizes.items() if c not in result)
    return shapes[0][-1]
