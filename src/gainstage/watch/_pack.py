"""A report on its way from the device: all numbers in one vector, one copy, and the names to read it by."""

from dataclasses import dataclass, field
from math import isinf, sqrt
from typing import Any

import torch
from torch import Tensor

from gainstage.watch._groups import ratio
from gainstage.watch._sites import Row
from gainstage.watch.reading import Attention, Norm, Number, Parameter, Place, Reading, Router, broken

_LEVELS = 7  # numbers of a row of `levels`


@dataclass
class Packed:
    """The numbers of one report, and what each is.

    Attributes:
        host: the vector on the host, or on its way there.
        ready: an event after which it has arrived; None where it is there.
        names: of the parameters, five vectors of which come first.
        rows: kind, name and length of what follows.
        steps: how many steps, three numbers each, end it.
        reading: what the host knew itself.
        groups: of the optimizers, the names of their parameters.
    """

    host: Tensor
    ready: Any
    names: list[str]
    rows: list[tuple[str, str, int]]
    steps: int
    reading: Reading
    groups: dict[str, list[str]] = field(default_factory=dict)


@dataclass
class Ranks:
    """Among how many ranks a report is summed, and which parameters are sharded among them."""

    world: int = 1
    sharded: list[bool] = field(default_factory=list)

    def together(self, vector: Tensor, parameters: int) -> Tensor:
        """Sums of squares of sharded parameters added up, everything else averaged: one collective."""
        if self.world == 1:
            return vector
        weight = torch.full_like(vector, 1 / self.world)
        for quantity in range(4 if parameters else 0):
            for place, sharded in enumerate(self.sharded):
                if sharded:
                    weight[quantity * parameters + place] = 1.0
        vector = vector * weight
        torch.distributed.all_reduce(vector)
        return vector


def pack(
    reading: Reading,
    names: list[str],
    parameters: list[tuple[str, Tensor]],
    rows: list[Row],
    steps: Tensor | None,
    ranks: Ranks,
    groups: dict[str, list[str]],
) -> Packed:
    """Send a report to the host without waiting for it."""
    names = names if parameters else []
    rows = sorted(rows, key=lambda row: isinstance(row[2], Tensor))  # what is on the host already comes first
    told = [number for _, _, row in rows if isinstance(row, list) for number in row]
    parts = [vector for _, vector in parameters]
    parts += [torch.tensor(told, dtype=torch.float64)] if told else []
    parts += [row for _, _, row in rows if isinstance(row, Tensor)] + ([steps] if steps is not None else [])
    if not parts:
        return Packed(torch.zeros(0), None, names, [], 0, reading, groups)
    device = next((part.device for part in parts if not part.is_cpu), parts[0].device)
    vector = torch.cat([part.to(device, torch.float64, non_blocking=True).reshape(-1) for part in parts])
    vector = ranks.together(vector, len(names))
    ready = None
    if device.type == "cuda":
        host = torch.empty(vector.shape, dtype=vector.dtype, pin_memory=True)
        host.copy_(vector, non_blocking=True)
        ready = torch.cuda.Event()  # type: ignore[no-untyped-call]
        ready.record()
    else:
        host = vector.to("cpu", non_blocking=True)
    lengths = [(kind, name, row.numel() if isinstance(row, Tensor) else len(row)) for kind, name, row in rows]
    return Packed(host, ready, names, lengths, 0 if steps is None else steps.numel() // 3, reading, groups)


def unpack(packed: Packed) -> Reading:
    """The report, once it has arrived."""
    if packed.ready is not None:
        packed.ready.synchronize()
    values: list[float] = packed.host.tolist()
    reading, count = packed.reading, len(packed.names)
    columns = [values[q * count : (q + 1) * count] for q in range(5)]
    reading.parameters = {
        name: Parameter(*map(_root, (c[i] for c in columns[:4])), columns[4][i])  # type: ignore[call-arg]
        for i, name in enumerate(packed.names)
    }
    for name, group in reading.groups.items():
        group.ratio = ratio(packed.groups[name], reading.parameters)
    at = 5 * count
    found: dict[tuple[str, str], list[float]] = {}
    for kind, name, length in packed.rows:
        found.setdefault((kind, name), values[at : at + length])
        at += length
    _sites(reading, found)
    n = packed.steps
    losses, levels, same = (values[at + i * n : at + (i + 1) * n] for i in range(3))
    reading.losses, reading.levels, reading.same = list(losses), list(levels), [s == 1.0 for s in same]
    reading.nonfinite = [reading.step - n + 1 + place for place, loss in enumerate(losses) if isinf(loss)]
    return reading


def _sites(reading: Reading, found: dict[tuple[str, str], list[float]]) -> None:
    for (kind, name), row in found.items():
        if kind == "forward" and len(row) == _LEVELS:
            square, between, zeros, saturated, low, high, nonfinite = row
            gradient = found.get(("backward", name), [float("nan")])[0]
            dead = found.get(("dead", name), [float("nan")])[0]
            share = between / square if square > 0 else float("nan")
            largest, bad = max(abs(low), abs(high)), broken(nonfinite, low, high)
            reading.sites[name] = Place(_root(square), share, zeros, saturated, largest, bad, dead, gradient)
        elif kind == "attention":
            logit = found.get(("logit", name), [float("nan")])[0]
            reading.attentions[name] = Attention(row[0], logit)
        elif kind == "router":
            reading.routers[name] = Router(*row)
        elif kind == "scale":
            reading.scale = row[0]
        elif kind == "norm":
            reading.norms[name] = Norm(*row)


def _root(square: float) -> Number:
    return sqrt(square) if square >= 0 else square
