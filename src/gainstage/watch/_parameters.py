"""The parameters around one step: norms of gradients, weights and updates, in a few calls for all of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SAMPLE = 2**21  # entries of all parameters together that are kept to see what a step changes: 8 MB of float32


class Parameters:
    """Reads a step of the optimizers in foreach calls: nothing is synchronized, and nothing is done a parameter."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.named = dict(named)
        self.names = list(self.named)
        self.sharded = [hasattr(p, "_local_tensor") for p in self.named.values()]
        self._most = _share([_local(p).numel() for p in self.named.values()])
        self.low = [p.dtype in (torch.bfloat16, torch.float16) for p in self.named.values()]
        self._before: list[Tensor] = []
        self._rows: dict[str, Tensor] = {}
        self._seen: list[tuple[int, int] | None] = [None, None]  # gradients of the first and last, and their writes
        self._factors: Tensor | None = None  # entries of each parameter over those of its part

    @property
    def ready(self) -> bool:
        """Whether `before` was called for the step that ends."""
        return bool(self._before)

    def arrived(self, scale: Tensor | None) -> None:
        """After a backward pass, of a loss that was scaled; one of another model is none of ours."""
        ends = [p.grad for p in (next(iter(self.named.values())), next(reversed(self.named.values())))]
        seen = [(id(g), g._version) if g is not None else None for g in ends]
        if seen == self._seen:
            return
        self._seen = seen
        squares = self._squares(self._gradients())
        self._rows["arrived"] = squares if scale is None else squares / scale.to(squares.device).double().square()

    def before(self) -> None:
        """Right before a step; for several optimizers, before the first."""
        self._rows["gradient"] = self._squares(self._gradients())
        held = [_local(p.detach()) for p in self.named.values()]
        self._rows["weight"] = self._squares(held)
        self._before = [part.clone() for part in self._parts()]

    def after(self) -> list[tuple[str, Tensor]]:
        """After the step: squared norms and counts, a vector a quantity, in the order of `names`."""
        moved, self._before = self._before, []
        torch._foreach_sub_(moved, self._parts())
        update = self._squares(list(moved))
        if self._factors is None:
            sizes = [_local(p).numel() / max(1, m.numel()) for p, m in zip(self.named.values(), moved, strict=True)]
            self._factors = torch.tensor(sizes, dtype=torch.float64, device=update.device)
        update = update * self._factors
        lost = torch.zeros_like(update)
        if any(self.low):
            shares = [(m == 0).double().mean() if low else lost[0] for m, low in zip(moved, self.low, strict=True)]
            lost = torch.stack(shares)
        rows = {**self._rows, "update": update, "lost": lost}
        rows.setdefault("arrived", rows["gradient"])
        self._rows = {}
        return [(name, rows[name]) for name in ("gradient", "arrived", "weight", "update", "lost")]

    def _parts(self) -> list[Tensor]:
        """Of every parameter what `SAMPLE` leaves it: whole rows, far apart."""
        parts = []
        for parameter in self.named.values():
            held = _local(parameter.detach())
            step = -(-held.numel() // self._most)
            if step > 1:
                step = min(step, held.shape[0]) if held.dim() > 1 else step
                held = held[::step]
            parts.append(held)
        return parts

    def _gradients(self) -> list[Tensor | None]:
        grads = [p.grad for p in self.named.values()]
        return [None if g is None else _local(g.detach()) for g in grads]

    @staticmethod
    def _squares(tensors: list[Any]) -> Tensor:
        """The squared norm of each; of none, 0."""
        found: list[Tensor | None] = [None] * len(tensors)
        groups: dict[tuple[torch.device, torch.dtype], list[int]] = {}
        for place, tensor in enumerate(tensors):
            if tensor is not None and tensor.numel():
                groups.setdefault((tensor.device, tensor.dtype), []).append(place)
        for places in groups.values():
            chosen = [_plain(tensors[p]) for p in places]
            exact = torch.float32 if chosen[0].dtype != torch.float64 else torch.float64
            for place, norm in zip(places, torch._foreach_norm(chosen, 2, dtype=exact), strict=True):
                found[place] = norm
        device = next((t.device for t in tensors if t is not None), torch.device("cpu"))
        nothing = torch.zeros((), device=device)
        return torch.stack([nothing if n is None else n.to(device) for n in found]).double().square()


def _share(sizes: list[int]) -> int:
    """The largest part of a parameter with which all parts together keep within `SAMPLE`: small ones stay whole."""
    left = SAMPLE
    for place, size in enumerate(sorted(sizes)):
        if size * (len(sizes) - place) > left:
            return max(1, left // (len(sizes) - place))
        left -= size
    return max(sizes, default=1) or 1


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _local(tensor: Any) -> Tensor:
    """Of a sharded tensor, the part of this rank."""
    found: Tensor = getattr(tensor, "_local_tensor", tensor)
    return found
