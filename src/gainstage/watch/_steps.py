"""Every step between reports, in one small buffer on the device: loss, level of the batch, whether it repeats."""

from collections.abc import Iterator
from math import gcd
from typing import Any

import torch
from torch import Tensor

from gainstage.run import tensors_in

SAMPLED = 64  # numbers of a batch


class Steps:
    """A ring of three numbers a step; nothing in it is read before a report."""

    def __init__(self, most: int) -> None:
        self.most, self.count = most, 0
        self._buffer: Tensor | None = None
        self._last: Tensor | None = None
        self._losses: list[Tensor] = []
        self._batch: Tensor | None = None

    def batch(self, given: Any) -> None:
        """The inputs of the first pass of a step."""
        if self._batch is None and (x := _first(given)) is not None:
            flat = x.detach().reshape(-1)
            step = max(1, flat.numel() // SAMPLED)
            while gcd(step, x.shape[-1]) > 1 and step > 1:  # else it would read few columns
                step -= 1
            some = flat[::step][:SAMPLED].float()
            self._batch = torch.cat([some, flat.sum(dtype=torch.float32)[None]])

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
        device = losses[0].device if losses else batch.device if batch is not None else torch.device("cpu")
        if self._buffer is None or self._buffer.device != device:
            self._buffer = torch.full((3, self.most), torch.nan, dtype=torch.float64, device=device)
        row = self._buffer[:, self.count % self.most]
        row.fill_(torch.nan)
        for loss in losses[:1]:
            row[0] = loss.reshape(())
        for loss in losses[1:]:
            row[0] += loss.reshape(())
        if losses:
            row[0].nan_to_num_(torch.inf, torch.inf, torch.inf)  # NaN is a loss that was not seen
        if batch is not None:
            row[1] = torch.linalg.vector_norm(batch[:-1]) / max(1, batch.numel() - 1) ** 0.5
            alike = self._last is not None and self._last.shape == batch.shape and self._last.device == batch.device
            row[2] = torch.eq(batch, self._last).all() if self._last is not None and alike else 0.0
            self._last = batch
        self.count += 1

    def take(self) -> Tensor | None:
        """The three numbers of every step since this was last asked, in order; still on their device."""
        if self._buffer is None:
            return None
        number, self.count = min(self.count, self.most), 0
        return self._buffer[:, :number].reshape(-1).clone()


def _first(given: Any) -> Tensor | None:
    found: Iterator[Tensor] = (t for t in tensors_in(given) if t.numel() > 1 and not t.is_complex())
    return next(found, None)
