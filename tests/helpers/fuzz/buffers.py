"""Writes to buffers: in place, re-bound, resized, through views, NumPy and foreign storage."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.registry import part


class Buffered(nn.Module):
    """A linear layer and one buffer `t`; `write` changes it, `value` reads it into the output."""

    make: Any
    write: Any

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.register_buffer("t", type(self).make(width))

    def forward(self, x: Tensor) -> Tensor:
        type(self).write(self, x.detach())
        return self.linear(x) + _number(self.t)


def _number(t: Any) -> float:
    """A small finite number that depends on the content."""
    if t is None or t.numel() == 0:
        return 0.0
    flat = (t.dequantize() if t.is_quantized else t.to_dense() if t.layout != torch.strided else t).detach()
    return float(torch.nan_to_num(torch.abs(flat.resolve_conj().to(torch.complex64))).float().sum().item() % 7.0) / 10


def buffered(name: str, make: Any, write: Any) -> None:
    """Register a part with a buffer `make(width)` that `write(self, x)` changes in every forward."""
    members = {"make": staticmethod(make), "write": staticmethod(write), "__module__": __name__}
    part("buffer")(type(name, (Buffered,), members))


def _zeros(width: int) -> Tensor:
    return torch.zeros(width)


def _swap(self: nn.Module, x: Tensor) -> None:
    if not hasattr(self, "other"):
        self.register_buffer("other", torch.ones(3))
    self.t, self.other = self.other, self.t


def _again(self: nn.Module, x: Tensor) -> None:
    value = self.t + 1
    del self.t
    self.register_buffer("t", value, persistent=False)


def _out(self: nn.Module, x: Tensor) -> None:
    torch.mean(x.to(self.t.dtype), 0, out=self.t)


def _numpy(self: nn.Module, x: Tensor) -> None:
    self.t.numpy()[:] += 1


def _bank(self: nn.Module, x: Tensor) -> None:
    self.t[:2] = x[:2].float().mean(0, keepdim=True)[:, : self.t.shape[1]]


def _foreach(self: nn.Module, x: Tensor) -> None:
    torch._foreach_add_([self.t], 1.0)


def _quantized(width: int) -> Tensor:
    return torch.quantize_per_tensor(torch.ones(width), 0.1, 0, torch.qint8)


def _storage(self: nn.Module, x: Tensor) -> None:
    self.t.untyped_storage().copy_((self.t + 1).untyped_storage())


def _fill_bytes(self: nn.Module, x: Tensor) -> None:
    self.t.untyped_storage().fill_(1)


def _emptied(self: nn.Module, x: Tensor) -> None:
    storage, size = self.t.untyped_storage(), self.t.untyped_storage().nbytes()
    storage.resize_(0)
    storage.resize_(size)
    self.t.fill_(1)


def _set(self: nn.Module, x: Tensor) -> None:
    self.t.set_(torch.ones(2 * self.t.numel()))


def _set_data(self: nn.Module, x: Tensor) -> None:
    self.t.data = torch.ones(len(self.t) + 1)


def _setattr_item(self: nn.Module, x: Tensor) -> None:
    self._buffers["t"] = self._buffers["t"] + 1


for _name, _make, _write in (
    ("counter", lambda w: torch.zeros((), dtype=torch.long), lambda s, x: s.t.add_(1)),
    ("augmented", _zeros, lambda s, x: s.__setattr__("t", s.t.__iadd__(1))),
    ("rebound", _zeros, lambda s, x: setattr(s, "t", s.t + 1)),
    ("average", _zeros, lambda s, x: s.t.lerp_(x.float().mean(0), 0.1)),
    ("copied", _zeros, lambda s, x: s.t.copy_(x.float().mean(0))),
    ("resized", lambda w: torch.zeros(2), lambda s, x: s.t.resize_(4).fill_(1.0)),
    ("resized_smaller", _zeros, lambda s, x: s.t.resize_(2).add_(1)),
    ("resized_empty", lambda w: torch.empty(0), lambda s, x: s.t.resize_(3).fill_(2)),
    ("storage_resized", _zeros, _emptied),
    ("data", _zeros, _set_data),
    ("data_dtype", _zeros, lambda s, x: setattr(s.t, "data", s.t.double() + 1)),
    ("set", _zeros, _set),
    ("expanded", lambda w: torch.zeros(1).expand(w), lambda s, x: None),
    ("expanded_base", lambda w: torch.zeros(1, 1).expand(1, w), lambda s, x: s.t[:, :1].add_(1)),
    ("expanded_nan", lambda w: torch.full((1,), float("nan")).expand(w), lambda s, x: None),
    ("overlapping", lambda w: torch.zeros(2 * w).as_strided((3, w), (1, 1)), lambda s, x: s.t[0].add_(1)),
    ("nan", lambda w: torch.full((w,), float("nan")), lambda s, x: s.t[0].fill_(1)),
    ("view_written", _zeros, lambda s, x: s.t.view(2, -1)[0].add_(1)),
    ("alias_written", _zeros, lambda s, x: s.t.detach().add_(1)),
    ("data_written", _zeros, lambda s, x: s.t.data.add_(1)),
    ("narrow", lambda w: torch.zeros(3 * w)[w : 2 * w], lambda s, x: s.t.add_(1)),
    ("strided", lambda w: torch.zeros(w, 4).T, lambda s, x: s.t[0].add_(1)),
    ("transposed_in_place", lambda w: torch.zeros(w, 2), lambda s, x: s.t.t_().add_(1)),
    ("squeezed_in_place", lambda w: torch.zeros(w, 1), lambda s, x: s.t.squeeze_().unsqueeze_(0).add_(1)),
    ("bank", lambda w: torch.zeros(6, w), _bank),
    ("flag", lambda w: torch.zeros(w, dtype=torch.bool), lambda s, x: s.t.logical_not_()),
    ("complex", lambda w: torch.zeros(w, dtype=torch.cfloat), lambda s, x: torch.view_as_real(s.t).add_(1)),
    ("conjugate", lambda w: torch.zeros(w, dtype=torch.cfloat).conj(), lambda s, x: s.t.add_(1j)),
    ("half", lambda w: torch.zeros(w, dtype=torch.bfloat16), lambda s, x: s.t.add_(1)),
    ("double", lambda w: torch.zeros(w, dtype=torch.float64), lambda s, x: s.t.add_(1)),
    ("float8", lambda w: torch.zeros(w).to(torch.float8_e4m3fn), lambda s, x: s.t.copy_(torch.ones(len(s.t)))),
    ("unsigned", lambda w: torch.zeros(w, dtype=torch.uint16), lambda s, x: s.t.fill_(3)),
    ("quantized", _quantized, lambda s, x: s.t.copy_(torch.full(s.t.shape, 2.0))),
    ("quantized_rebound", _quantized, lambda s, x: setattr(s, "t", _quantized(3))),
    ("sparse", lambda w: torch.eye(w).to_sparse(), lambda s, x: s.t.mul_(0.5)),
    ("sparse_rebound", lambda w: torch.eye(w).to_sparse(), lambda s, x: setattr(s, "t", (s.t + s.t).coalesce())),
    ("sparse_values", lambda w: torch.eye(w).to_sparse().coalesce(), lambda s, x: s.t.values().mul_(0.5)),
    ("csr", lambda w: torch.eye(w).to_sparse_csr(), lambda s, x: s.t.values().mul_(0.5)),
    ("becomes_sparse", lambda w: torch.eye(w), lambda s, x: setattr(s, "t", s.t.to_sparse())),
    ("filled_when_none", lambda w: None, lambda s, x: setattr(s, "t", x.float().mean(0))),
    ("becomes_none", _zeros, lambda s, x: setattr(s, "t", None)),
    ("registered_again", _zeros, _again),
    ("dictionary", _zeros, _setattr_item),
    ("swapped", _zeros, _swap),
    ("swap_tensors", _zeros, lambda s, x: torch.utils.swap_tensors(s.t, torch.ones(len(s.t)))),
    ("foreach", _zeros, _foreach),
    ("out", _zeros, _out),
    ("numpy", _zeros, _numpy),
    ("storage", _zeros, _storage),
    ("storage_bytes", lambda w: torch.zeros(w, dtype=torch.uint8), _fill_bytes),
    ("from_numpy", lambda w: torch.from_numpy(torch.zeros(w).numpy().copy()), lambda s, x: s.t.add_(1)),
    ("needs_grad", lambda w: torch.zeros(w).requires_grad_(), lambda s, x: s.t.data.add_(1)),
    ("turns_to_need_grad", _zeros, lambda s, x: s.t.requires_grad_()),
    ("zero_size", lambda w: torch.zeros(0, w), lambda s, x: s.t.zero_()),
    ("cat", lambda w: torch.zeros(1, w), lambda s, x: setattr(s, "t", torch.cat([s.t, x[:1].float()]))),
    ("to_double", _zeros, lambda s, x: s.double()),
    ("shared_memory", _zeros, lambda s, x: s.t.share_memory_()),
    ("random", _zeros, lambda s, x: s.t.normal_()),
    ("apply", _zeros, lambda s, x: s._apply(lambda t: t.clone())),
    ("index_put", _zeros, lambda s, x: s.t.__setitem__(torch.tensor([0, 1]), 3.0)),
    ("scatter", _zeros, lambda s, x: s.t.scatter_add_(0, torch.tensor([0]), torch.ones(1))),
    ("tensor_attribute", _zeros, lambda s, x: setattr(s.t, "note", 1)),
    ("graph_kept", _zeros, lambda s, x: setattr(s, "t", s.linear.bias * 1.0)),
    ("meta", lambda w: torch.zeros(w, device="meta"), lambda s, x: setattr(s, "t", torch.ones(2))),
    ("inference", lambda w: _inference(w), lambda s, x: None),
    ("inference_written", lambda w: _inference(w), lambda s, x: _write_inference(s.t)),
):  # fmt: skip
    buffered(_name, _make, _write)


def _inference(width: int) -> Tensor:
    with torch.inference_mode():
        return torch.zeros(width)


def _write_inference(t: Tensor) -> None:
    with torch.inference_mode():
        t.add_(1)


@part("buffer")
class shared_storage(nn.Module):
    """Two buffers that are views of one tensor, and an alias of a parameter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        flat = torch.zeros(2 * width)
        self.register_buffer("left", flat[:width])
        self.register_buffer("right", flat[width:])
        self.register_buffer("alias", self.linear.bias.data)

    def forward(self, x: Tensor) -> Tensor:
        self.left.as_strided((2 * len(self.left),), (1,)).add_(1)
        return self.linear(x) + self.right.mean() + self.alias


@part("buffer")
class alias_of_weight_written(shared_storage):
    def forward(self, x: Tensor) -> Tensor:
        self.alias.add_(1)
        return self.linear(x)


@part("buffer")
class vector_quantizer(nn.Module):
    """A codebook in buffers, moved by exponential averages, started from the first batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(4, width))
        self.register_buffer("counts", torch.zeros(4))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        seen = x.detach().float()
        if not self.ready:
            self.codes.data.copy_(seen[:4])
            self.ready.fill_(True)
        nearest = torch.cdist(seen, self.codes).argmin(1)
        if self.training:
            one_hot = F.one_hot(nearest, 4).float()
            self.counts.mul_(0.9).add_(one_hot.sum(0), alpha=0.1)
            self.codes.mul_(0.9).add_(one_hot.T @ seen / len(x), alpha=0.1)
        return x + (self.codes[nearest] - x).detach()
