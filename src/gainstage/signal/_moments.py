"""Streaming statistics of one tensor: what a site keeps instead of its activation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from gainstage._memory import array_over
from gainstage.run import has_data, real, whole

Number = float | Tensor
_SMALL = 1e-28  # mean squares within (_SMALL, 1 / _SMALL) lost nothing to the range of float32

# Beyond these outputs the slope of the activation is below 2 % (tanh) or 1 % (sigmoid) of its largest value.
SATURATED = {"tanh": (-0.99, 0.99), "hardtanh": (-0.99, 0.99), "sigmoid": (0.01, 0.99), "hardsigmoid": (0.01, 0.99)}


@dataclass(frozen=True, slots=True)
class Moments:
    """What is known of the entries of one tensor.

    Attributes:
        count: number of entries.
        mean: mean of the entries.
        mean_square: mean of their squares: the level of the signal.
        variance_between: variance *between samples*, averaged over the other axes; NaN for a batch of one.
            Where it is 0, every sample gives the same activation and the network has lost its input.
        zeros: share of entries that are exactly 0.
        saturated: share of entries in the flat part of a tanh or sigmoid; NaN for other operations.
        minimum, maximum: extremes.
        nonfinite: number of NaN and infinite entries.
        dead: share of units (channels) that are 0 for every sample and position; NaN except after a rectifier.
        units: number of units behind `dead`; 0 where `dead` is not measured.
    """

    count: int
    mean: float
    mean_square: float
    variance_between: float
    zeros: float
    saturated: float
    minimum: float
    maximum: float
    nonfinite: int
    dead: float
    units: int

    @property
    def rms(self) -> float:
        """Root of the mean square."""
        return float(self.mean_square**0.5)

    @classmethod
    def from_row(cls, row: list[float]) -> "Moments":
        """The moments behind one row of `measure`."""
        values = dict(zip(cls.__slots__, row, strict=True))
        counts = {name: int(values[name]) for name in ("count", "nonfinite", "units")}
        return cls(**(values | counts))  # type: ignore[arg-type]


@torch.no_grad()
def measure(x: Tensor, *, batch: int | None = None, op: str = "", unit_axis: int | None = None) -> Tensor:
    """The moments of `x` as one float64 row on its device: no host synchronization, and nothing of `x` is kept.

    On the CPU one read (`_fused`), elsewhere five: sum over samples, centred norm, norm, zeros, extremes.

    Args:
        x: any tensor of numbers; complex entries count as two reals, low precision is raised to float32.
        batch: number of samples, to find the axis that they run along; None skips `variance_between`.
        op: operation that made `x`; saturation is counted after tanh and sigmoid.
        unit_axis: axis of the units, to count dead ones; None skips that.
    """
    if torch._C._functorch.peek_interpreter_stack() is not None:
        with temporarily_clear_interpreter_stack():
            return measure(plain_of(x), batch=batch, op=op, unit_axis=unit_axis)
    if x.is_nested:
        return measure(x.values(), op=op)
    x = _as_float(x)
    with torch._C._DisableTorchDispatch():  # no mode hears of what is read here; `x` is a plain tensor by now
        return _row(x, sample_axis(tuple(x.shape), batch), batch or 1, op, unit_axis)


def _row(x: Tensor, axis: int | None, batch: int, op: str, unit_axis: int | None) -> Tensor:
    nan, count = float("nan"), x.numel()
    values: list[Number] = [0, nan, nan, nan, nan, nan, nan, nan, 0, nan, 0]
    if count and has_data(x):
        samples = _flat(x)[None] if axis is None else x.movedim(axis, 0).reshape(batch, -1)
        total, square, between, zeros, low, high, nonfinite = sums(samples)
        between = nan if axis is None else between / count
        saturated = _outside(x, *SATURATED[op]) if op in SATURATED else nan
        dead, units = _dead(x, unit_axis) if unit_axis is not None and x.dim() else (nan, 0)
        levels = [total / count, square / count, between, zeros / count]
        values = [count, *levels, saturated, low, high, nonfinite, dead, units]
    if x.device.type == "cpu":
        return torch.tensor([float(value) for value in values], dtype=torch.float64)
    return torch.stack([torch.as_tensor(value, dtype=torch.float64, device=x.device) for value in values])


def collect(rows: list[Tensor]) -> list[Moments]:
    """The moments behind many rows, with one host synchronization for each device."""
    where: dict[torch.device, list[int]] = {}
    for position, row in enumerate(rows):
        where.setdefault(row.device, []).append(position)
    found: list[Moments | None] = [None] * len(rows)
    for positions in where.values():
        for position, values in zip(positions, torch.stack([rows[p] for p in positions]).tolist(), strict=True):
            found[position] = Moments.from_row(values)
    return [moments for moments in found if moments is not None]


def sample_axis(shape: tuple[int, ...], batch: int | None) -> int | None:
    """The axis that samples run along: the first or second of size `batch`, or a first axis that holds batch x more."""
    if batch is None or batch < 2:
        return None
    for axis in range(min(2, len(shape))):
        if shape[axis] == batch:
            return axis
    return 0 if shape and shape[0] > 0 and shape[0] % batch == 0 else None


def plain_of(tensor: Tensor) -> Tensor:
    """What a wrapper of `torch.func` (vmap, grad) holds: all samples of a mapped tensor; any other tensor itself."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def _as_float(x: Tensor) -> Tensor:
    x = whole(x)
    if x.layout is not torch.strided:
        x = x.to_dense()
    return real(x)


def _flat(x: Tensor) -> Tensor:
    """All entries in memory order, where reductions are several times faster; a copy only if `x` has gaps."""
    if x.is_contiguous():
        return x.view(-1)
    return x.permute(sorted(range(x.dim()), key=x.stride, reverse=True)).reshape(-1)


def sums(samples: "Tensor | np.ndarray[Any, Any]") -> Sequence[Number]:
    """Sum, sum of squares, sum of squares around the mean over samples, zeros, minimum, maximum, non-finites.

    Of float32 on the CPU in one read, as numbers, where squares are within the range in which they are exact; else as
    scalars on their device.

    Args:
        samples: (samples, features), real; an array is one of contiguous float32.
    """
    if isinstance(samples, Tensor) and samples.device.type == "cpu" and samples.dtype == torch.float32:
        samples = array_over(samples.detach().contiguous())
    if isinstance(samples, np.ndarray):
        found = _fused_sums(samples)
        mean_square, spread = found[1] / samples.size, found[2] / samples.size
        exact = _SMALL < mean_square < 1 / _SMALL and (spread == 0 or spread > _SMALL)
        if exact or found[3] == samples.size:
            return found
        samples = torch.from_numpy(samples)
    return _sums(samples).unbind()


def _sums(samples: Tensor) -> Tensor:
    """Sum, sum of squares, sum of squares around the mean over samples, zeros, minimum, maximum, non-finites."""
    low, high = torch.aminmax(samples)
    scale = torch.maximum(-low, high).clamp(min=torch.finfo(samples.dtype).tiny)  # squares neither over- nor underflow
    square = torch.linalg.vector_norm(samples / scale).double() * scale.double()
    centred = samples - samples.mean(0)  # centred before it is squared: exact where samples hardly differ
    between = torch.linalg.vector_norm(centred / scale).double() * scale.double()
    zeros = samples.numel() - torch.count_nonzero(samples)
    nonfinite = samples.numel() - torch.isfinite(samples).sum()
    parts = [samples.sum(dtype=torch.float64), square.square(), between.square(), zeros, low, high, nonfinite]
    return torch.stack([part.double() for part in parts])


def _fused_sums(array: "np.ndarray[Any, Any]") -> list[float]:
    """The same in one read of float32 on the CPU."""
    from gainstage.signal._fused import fused  # numba is loaded when the first tensor is measured

    out = np.empty(7)
    array = np.ascontiguousarray(array)
    fused(array, array.view(np.int32), out)
    found: list[float] = out.tolist()
    return found


def _dead(x: Tensor, unit_axis: int) -> tuple[Tensor, int]:
    """Share of units that are 0 or less everywhere, and the number of units."""
    others = [axis for axis in range(x.dim()) if axis != unit_axis % x.dim()]
    return ((x.amax(others) if others else x) <= 0).double().mean(), x.shape[unit_axis]


def _outside(x: Tensor, low: float, high: float) -> Tensor:
    return ((x < low) | (x > high)).double().mean()
