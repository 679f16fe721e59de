"""Facts about single weights: values, norms, and units that are equal forwards and backwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gainstage.check.quantity import Limit
from gainstage.signal import Graph, ops

EQUAL_GRADIENT = Limit(
    1e-3,
    "Gradient rows of equal units differ by rounding only: relative to their size, far above float32's 1e-7.",
)


@dataclass(frozen=True)
class Weight:
    """One parameter of two or more axes that multiplies or looks up a signal.

    Attributes:
        name: of the parameter.
        sites: where it is used.
        unit_axis: axis of its output units; None for look-up tables.
        low, high: its extremes.
        norm: its Frobenius norm.
        gradient_norm: that of its gradient in the observed pass; 0 where it got none.
    """

    name: str
    sites: tuple[int, ...]
    unit_axis: int | None
    low: float
    high: float
    norm: float
    gradient_norm: float

    @property
    def constant(self) -> bool:
        """Whether all its entries are one number."""
        return self.low == self.high

    @property
    def zero(self) -> bool:
        """Whether all its entries are 0."""
        return self.low == self.high == 0

    @property
    def pull(self) -> float:
        r"""$\lVert g \rVert \, \lVert W \rVert$: how much a relative change of the weight changes the loss."""
        return self.gradient_norm * self.norm


def weights_of(graph: Graph, values: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> list[Weight]:
    """Every weight in the order of its first use, from what the parameters and their gradients hold."""
    uses: dict[str, list[int]] = {}
    axes: dict[str, int | None] = {}
    for index in range(len(graph.sites)):
        for name, axis in _used_at(graph, values, index):
            uses.setdefault(name, []).append(index)
            if axes.get(name) is None:  # a tied table has units where it is the output head
                axes[name] = axis
    uses = {name: sites for name, sites in uses.items() if name in values}  # not what a pass makes
    facts = _facts([values[name] for name in uses], [gradients.get(name) for name in uses])
    return [
        Weight(name, tuple(sites), axes[name], *numbers)
        for (name, sites), numbers in zip(uses.items(), facts, strict=True)
    ]


def _used_at(graph: Graph, values: Mapping[str, Tensor], index: int) -> list[tuple[str, int | None]]:
    """The parameters that are the weight of this site, each with the axis of its units."""
    site, call = graph.sites[index], graph.weights.get(index)
    if call is not None:
        if (name := graph.parameter_of(call.weight)) is not None:
            rank = len(graph.shapes[graph.tape.parameter(name).index])  # type: ignore[union-attr]
            units: dict[str, int | None] = {"conv": 0, "bilinear": 0, "conv_transpose": 1}
            if call.family in ("linear", "matmul") and rank == 2:
                units[call.family] = int(graph.stored_transposed(call))
            return [(name, units.get(call.family))] if rank >= 2 else []
        named = graph.parameters_behind(call.weight)
        return [(n, 0) for n in named if n in values and values[n].dim() >= 2]
    if site.kind == "op" and ops.of(site).kind == "recurrent":
        leaves = [ref for ref in site.inputs if graph.sites[ref.site].kind == "parameter"]
        return [(graph.sites[ref.site].path, 0) for ref in leaves if len(graph.shapes[ref.site]) >= 2]
    return []


@torch.no_grad()
def _facts(tensors: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> list[list[float]]:
    """Minimum, maximum, norm and gradient norm of many weights, with one host synchronization."""
    rows = []
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if tensor.is_meta:
            rows.append(torch.full((4,), float("nan")))
            continue
        low, high = torch.aminmax(torch.view_as_real(tensor) if tensor.is_complex() else tensor)
        norm = torch.linalg.vector_norm(tensor)
        own = torch.zeros(()) if gradient is None else torch.linalg.vector_norm(gradient.to_dense())
        rows.append(torch.stack([value.double().cpu() for value in (low, high, norm, own)]))
    return torch.stack(rows).tolist() if rows else []


@torch.no_grad()
def equal_units(weight: Tensor, gradient: Tensor | None, axis: int) -> list[int]:
    """Sizes of the groups of units whose rows of the weight are equal, and whose rows of the gradient are, too.

    A look at sixteen columns rules most rows out; what is left is compared in full. Rows without any gradient (units
    that are dead behind this weight) count only where the whole weight has none.
    """
    rows = weight.movedim(axis, 0).reshape(weight.shape[axis], -1)
    pulls = None if gradient is None else gradient.to_dense().movedim(axis, 0).reshape(len(rows), -1)
    moved = torch.ones(len(rows), dtype=torch.bool) if pulls is None or not bool(pulls.any()) else pulls.any(1)
    columns = torch.linspace(0, rows.shape[1] - 1, min(16, rows.shape[1])).long().to(rows.device)
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(len(columns), generator=generator, dtype=torch.float64).to(rows.device)
    keys = (rows[:, columns].double() * mix).sum(1)
    _, group, count = torch.unique(keys, return_inverse=True, return_counts=True)
    sizes: list[int] = []
    for number in torch.nonzero(count > 1).flatten().tolist():
        members = torch.nonzero(group == number).flatten()
        equal = members[(rows[members] == rows[members[0]]).all(1) & moved.to(rows.device)[members]]
        if len(equal) > 1:
            sizes += [len(equal)] if pulls is None else [n for n in _together(pulls[equal].double()) if n > 1]
    return sizes


def _together(rows: Tensor) -> list[int]:
    """Sizes of the groups of rows that differ by rounding only: found along one random direction, then compared."""
    generator = torch.Generator().manual_seed(1)
    direction = torch.randn(rows.shape[1], generator=generator, dtype=torch.float64).to(rows.device)
    places, order = (rows @ direction).sort()
    size = torch.linalg.vector_norm(rows, dim=1).max()
    breaks = torch.nonzero(places.diff() > EQUAL_GRADIENT / 100 * size).flatten().tolist()
    sizes = []
    for left, right in zip([0, *(b + 1 for b in breaks)], [*(b + 1 for b in breaks), len(places)], strict=True):
        if right - left > 1:
            near = rows[order[left:right]]
            far = torch.linalg.vector_norm(near - near[0], dim=1) > EQUAL_GRADIENT * size
            sizes.append(right - left - int(far.sum()))
    return sizes
