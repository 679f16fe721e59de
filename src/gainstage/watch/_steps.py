"""Every step between reports, in one small buffer on the device: loss, level of the batch, whether it repeats."""

from collections.abc import Iterator
from math import gcd, isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainstage._memory import array_over
from gainstage.run import tensors_in

SAMPLED = 64  # numbers of a batch
_ARRAYS = {torch.float32, torch.float64, torch.int64, torch.int32, torch.int16, torch.uint8}
Array = np.ndarray[Any, Any]


class Steps:
    """A ring of three numbers a step; nothing in it is read before a report. On the CPU it is an array."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self._buffer: Array | Tensor | None = None
        self._last: Array | Tensor | None = None
        self._losses: list[Tensor] = []
        self._batch: Array | Tensor | None = None

    def batch(self, given: Any) -> None:
        """The inputs of the first pass of a step."""
        if self._batch is None and (x := _first(given)) is not None:
            flat = _flat(x.detach())
            size, last = x.numel(), x.shape[-1]
            step = max(1, size // SAMPLED)
            while gcd(step, last) > 1 and step > 1:  # else it would read few columns
                step -= 1
            if isinstance(flat, np.ndarray):
                self._batch = np.append(flat[::step][:SAMPLED], flat.sum()).astype(np.float32)
            else:
                self._batch = torch.cat([flat[::step][:SAMPLED].float(), flat.sum(dtype=torch.float32)[None]])

    def loss(self, value: Tensor) -> None:
        """A backward pass of this loss, unscaled."""
        self._losses.append(value.detach())

    @property
    def losses(self) -> list[Tensor]:
        """Those of this step so far."""
        return self._losses

    @torch.no_grad()
    def end(self) -> None:
        """The step is made."""
        losses, self._losses = self._losses, []
        batch, self._batch = self._batch, None
        if not isinstance(batch, Tensor) and all(loss.is_cpu for loss in losses):
            self._end_on_host([float(loss.float().numpy().reshape(())) for loss in losses], batch)
        else:
            self._end_on_device(losses, torch.as_tensor(batch) if batch is not None else None)
        self._last = batch if batch is not None else self._last
        self.count += 1

    def _end_on_host(self, losses: list[float], batch: "Array | None") -> None:
        if not isinstance(self._buffer, np.ndarray):
            self._buffer = np.full((3, self.most), np.nan)
        row = self._buffer[:, self.count % self.most]
        row[:] = np.nan
        if losses:
            total = sum(losses)
            row[0] = total if isfinite(total) else np.inf  # NaN is a loss that was not seen
        if batch is not None:
            row[1] = np.sqrt(np.dot(batch[:-1], batch[:-1]) / max(1, batch.size - 1))
            row[2] = isinstance(self._last, np.ndarray) and np.array_equal(batch, self._last)

    def _end_on_device(self, losses: list[Tensor], batch: Tensor | None) -> None:
        device = losses[0].device if losses else batch.device if batch is not None else torch.device("cpu")
        if not isinstance(self._buffer, Tensor) or self._buffer.device != device:
            self._buffer = torch.full((3, self.most), torch.nan, dtype=torch.float64, device=device)
        row = self._buffer[:, self.count % self.most]
        row.fill_(torch.nan)
        for loss in losses[:1]:
            row[0] = loss.reshape(())
        for loss in losses[1:]:
            row[0] += loss.reshape(())
        if losses:
            row[0].nan_to_num_(torch.inf, torch.inf, torch.inf)
        if batch is not None:
            row[1] = torch.linalg.vector_norm(batch[:-1]) / max(1, batch.numel() - 1) ** 0.5
            last = torch.as_tensor(self._last) if self._last is not None else None
            alike = last is not None and last.shape == batch.shape and last.device == batch.device
            row[2] = torch.eq(batch, last).all() if last is not None and alike else 0.0

    def take(self) -> Tensor | None:
        """The three numbers of every step since this was last asked, in order; still on their device."""
        if self._buffer is None:
            return None
        number, self.count = min(self.count, self.most), 0
        return torch.as_tensor(self._buffer[:, :number]).reshape(-1).clone()


def _flat(x: Tensor) -> "Array | Tensor":
    """All numbers in a row; on the CPU as an array, which costs less, where NumPy has the type."""
    if x.is_cpu and x.dtype in _ARRAYS and type(x) is Tensor and x.is_contiguous() and not x.is_neg():
        array: Array = array_over(x)
        return array.reshape(-1)
    return x.reshape(-1)


def _first(given: Any) -> Tensor | None:
    found: Iterator[Tensor] = (t for t in tensors_in(given) if t.numel() > 1 and not t.is_complex())
    return next(found, None)
