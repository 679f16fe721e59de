"""Which values a signal can take at all: the range of the functions behind it."""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from gainstage.signal import Graph, ops
from gainstage.theory.activation import made_of

_WIDE = torch.logspace(-4, 4, 97, dtype=torch.float64)
_ALL = torch.cat([-_WIDE.flip(0), torch.zeros(1, dtype=torch.float64), _WIDE])
_UNIT = torch.linspace(0, 1, 101, dtype=torch.float64, device="cpu")


@dataclass(frozen=True)
class Reach:
    """The values that a signal can take.

    Attributes:
        low, high: bounds; infinite where there is none or where none is known.
        site: the activation that sets them: the last site that is no view and no shift or scale by a number.
        op: its operation; `""` where nothing bounds the signal.
    """

    low: float
    high: float
    site: int
    op: str

    @property
    def width(self) -> float:
        """Distance of the bounds."""
        return self.high - self.low

    @property
    def bounded(self) -> bool:
        """Whether there is a bound on either side."""
        return self.low > -inf or self.high < inf


def reach(graph: Graph, index: int) -> Reach:
    """Walk back over elementwise functions to what they are functions of, and evaluate them on a wide grid."""
    source, path = made_of(graph, index)
    site = graph.sites[source]
    low, high = ops.of(site).low, ops.of(site).high
    points = _UNIT if (low, high) == (0, 1) else -_ALL.abs() if high == 0 else _ALL
    if site.op == "normalize":
        points = 2 * _UNIT - 1
    values: dict[int, Tensor] = {source: points}
    for current in path:
        value = graph.evaluate(current, values)
        if value is None:
            return Reach(-inf, inf, index, "")
        values[current] = value
    acts = [i for i in path if graph.sites[i].kind == "op" and not graph.transparent(i)]
    op = graph.sites[acts[-1]].op if acts else site.op
    low, high = _bounds(points, values.get(index, points))
    if low == -inf and high == inf:
        return Reach(low, high, index, "")
    return Reach(low, high, acts[-1] if acts else source, op)


def _bounds(points: Tensor, values: Tensor) -> tuple[float, float]:
    """Extremes of the values; infinite where they still move at the far ends of a wide grid."""
    if points.numel() != values.numel():
        return -inf, inf
    values = values.flatten()
    good = values[~values.isnan()]
    if not good.numel():
        return -inf, inf
    low, high = float(good.min()), float(good.max())
    if points is _UNIT or float(points.abs().max()) <= 1:
        return low, high
    near = values[(points.abs() <= 100) & ~values.isnan()]
    slack = 1e-3 * max(1.0, float(near.abs().max()))
    return (low if low > float(near.min()) - slack else -inf), (high if high < float(near.max()) + slack else inf)
