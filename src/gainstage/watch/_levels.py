"""What is read of one signal: some of its entries, and a few numbers of them that stay on its device."""

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainstage._memory import array_over
from gainstage.run import real
from gainstage.signal import SATURATED, measure, sums

ENTRIES = 2**13  # of a site that are read
SAMPLES = 8  # of a batch, at least
QUERIES = 16  # of an attention, the last, which see the most keys
SEEN = 64  # entries of a unit that are looked at before it counts as never active
Array = np.ndarray[Any, Any]
Numbers = list[float] | Tensor  # on the CPU a number costs nothing; elsewhere it would wait for the device


def part(x: Any, axis: int | None, most: int = ENTRIES) -> Any:
    """A view of at most about `most` entries of a signal: whole units of some samples, at positions far apart.

    Args:
        x: any signal, as a tensor or as an array.
        axis: of the samples, 0 or 1; None where there are none.
        most: entries.
    """
    shape = x.shape
    size = prod(shape)
    if size <= most or not shape:
        return x
    along = axis or 0
    rows = min(shape[along], max(SAMPLES, most * shape[along] // size))
    size = size * rows // shape[along]
    cut: list[slice] = [slice(None)] * len(shape)
    cut[along] = slice(rows)
    if size >= 2 * most and len(shape) > 2:
        positions = 2 if len(shape) >= 4 else 1 - along
        cut[positions] = slice(None, None, min(size // most, shape[positions]))
    return x[tuple(cut)]


def levels(x: Tensor, axis: int | None, op: str) -> Numbers:
    """Mean square, variance between samples, shares of zeros and of saturated entries, extremes, non-finites.

    Args:
        x: any signal.
        axis: of the samples; without one there is no variance between them.
        op: operation that made it.
    """
    odd = type(x) is not Tensor or x.is_nested or x.layout is not torch.strided
    if odd or torch._C._functorch.peek_interpreter_stack() is not None:
        row = measure(x, batch=x.shape[axis] if axis is not None and not x.is_nested else None, op=op)
        return host(row[2:9])
    some = part(_plain(x), axis)
    if axis:
        some = some.swapaxes(0, axis)
    samples = some.reshape(1 if axis is None else some.shape[0], -1)
    count = prod(samples.shape)
    _, square, between, zeros, low, high, nonfinite = sums(samples)
    shares = [square / count, between / count if axis is not None else torch.nan, zeros / count]
    numbers = [*shares, _flat(samples, op) if op in SATURATED else torch.nan, low, high, nonfinite]
    if x.is_cpu:
        return [float(number) for number in numbers]
    return torch.stack(
        [n.double() if isinstance(n, Tensor) else samples.new_full((), n, dtype=torch.float64) for n in numbers]
    )


def rms(x: Tensor, axis: int | None) -> Numbers:
    """Root mean square of some of a signal's entries."""
    some = part(_plain(x), axis)
    if isinstance(some, np.ndarray):
        flat = some.reshape(-1)
        return [float(np.sqrt(np.dot(flat, flat) / max(1, flat.size)))]
    norm = torch.linalg.vector_norm(some) / max(1, some.numel()) ** 0.5
    return host(norm[None])


def _plain(x: Tensor) -> "Tensor | Array":
    """As real numbers; as an array where that is a view: slicing arrays costs a tenth of slicing tensors."""
    x = x.detach()
    if x.is_cpu and x.dtype == torch.float32 and type(x) is Tensor and x.is_contiguous() and not x.is_neg():
        array: Array = array_over(x)
        return array
    return real(x)


def peaks(x: Tensor, axis: int | None) -> "Array | Tensor":
    """The largest entry of every unit: a channel of an image, the last axis of anything else."""
    unit = 1 if x.dim() >= 4 else x.dim() - 1
    some = part(_plain(x), axis, max(8 * ENTRIES, SEEN * x.shape[unit]))
    if isinstance(some, np.ndarray):
        units = some.swapaxes(0, 1).reshape(x.shape[1], -1) if unit == 1 and x.dim() >= 4 else None
        found: Array = some.reshape(-1, x.shape[-1]).max(0) if units is None else units.max(1)
        return found
    others = [a for a in range(x.dim()) if a != unit]
    largest: Tensor = some.amax(others) if others else some
    return largest


def idle(before: "Array | Tensor | None", peak: "Array | Tensor") -> "Array | Tensor":
    """In how many reports to the last each unit was 0 or less."""
    if before is None or before.shape != peak.shape or type(before) is not type(peak):
        none = np.zeros(peak.shape, np.int32) if isinstance(peak, np.ndarray) else torch.zeros_like(peak).int()
        before = none
    now: Array | Tensor = (before + 1) * (peak <= 0)
    return now


def statistics(x: Tensor, mean: Tensor, variance: Tensor) -> Numbers:
    """What a batch normalization has stored against its batch: `ratio`, `stored` and `shift` of `reading.Norm`."""
    given: list[Any] = [part(_plain(x), 0), _plain(mean), _plain(variance)]
    if not all(isinstance(each, np.ndarray) for each in given):
        given = [torch.as_tensor(each) for each in given]
    some, mean, variance = given
    some = some.swapaxes(0, 1).reshape(some.shape[1], -1)
    own = some.mean(1)
    spread = ((some - own[:, None]) ** 2).mean(1) + 1e-5  # as the layer itself does
    moved = (mean * mean).sum() ** 0.5 + (variance * variance).sum() ** 0.5
    found = [variance.mean() / spread.mean(), moved, ((mean - own) ** 2 / spread).mean() ** 0.5]
    return [float(number) for number in found] if x.is_cpu else torch.stack(found)


def entropy(weights: Tensor) -> Numbers:
    """Mean entropy of attention weights over that of equal weights on the keys that are not masked."""
    weights = (weights[:4, ..., -QUERIES:, :] if weights.dim() > 1 else weights).float()
    keys = (weights > 0).sum(-1)
    counted = keys > 1
    share = torch.special.entr(weights).sum(-1) / keys.clamp(min=2).log()
    found = torch.where(counted, share, 0.0).sum() / counted.sum()  # no query with a choice: NaN
    return host(found.nan_to_num(1.0)[None])


def host(numbers: Tensor) -> Numbers:
    """A list where the numbers are on the host already."""
    return numbers.tolist() if numbers.is_cpu else numbers.double()


def _flat(x: Any, op: str) -> Any:
    low, high = SATURATED[op]
    return ((x < low) | (x > high)).sum() / prod(x.shape)
