"""The parameters around one step: norms of gradients, weights and updates, in a few calls for all of them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

SAMPLE = 2**22  # entries of all parameters together that are kept to see what a step changes: 16 MB


class Parameters:
    """Reads a step of the optimizers in foreach calls: nothing is synchronized, and nothing is done a parameter."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.named = dict(named)
        self.names = list(self.named)
        self.sharded = [hasattr(p, "_local_tensor") for p in self.named.values()]
        total = sum(_local(p).numel() for p in self.named.values())
        self.stride = max(1, -(-total // SAMPLE))
        self.low = [p.dtype in (torch.bfloat16, torch.float16) for p in self.named.values()]
        self._before: list[Tensor] = []
        self._rows: dict[str, Tensor] = {}

    @property
    def ready(self) -> bool:
        """Whether `before` was called for the step that ends."""
        return bool(self._before)

    def arrived(self, scale: Tensor | None) -> None:
        """After a backward pass, of a loss that was scaled."""
        squares = self._squares(self._gradients())
        self._rows["arrived"] = squares if scale is None else squares / scale.to(squares.device).double().square()

    def before(self) -> None:
        """Right before a step; for several optimizers, before the first."""
        self._rows["gradient"] = self._squares(self._gradients())
        held = [_local(p.detach()) for p in self.named.values()]
        self._rows["weight"] = self._squares(held)
        self._before = [p.reshape(-1)[:: self.stride].clone() for p in held]

    def after(self) -> list[tuple[str, Tensor]]:
        """After the step: squared norms and counts, a vector a quantity, in the order of `names`."""
        now = [_local(p.detach()).reshape(-1)[:: self.stride] for p in self.named.values()]
        moved = torch._foreach_sub(now, self._before)
        update = self._squares(list(moved)) * self.stride
        lost = torch.zeros_like(update)
        if any(self.low):
            parts = [(m == 0).double().mean() if low else lost[0] for m, low in zip(moved, self.low, strict=True)]
            lost = torch.stack(parts)
        self._before = []
        rows = {**self._rows, "update": update, "lost": lost}
        rows.setdefault("arrived", rows["gradient"])
        self._rows = {}
        return [(name, rows[name]) for name in ("gradient", "arrived", "weight", "update", "lost")]

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


def _plain(tensor: Tensor) -> Tensor:
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _local(tensor: Any) -> Tensor:
    """Of a sharded tensor, the part of this rank."""
    found: Tensor = getattr(tensor, "_local_tensor", tensor)
    return found
