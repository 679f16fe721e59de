"""Writes to parameters, and parameters of unusual kinds."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fuzz.functional import Weighted
from fuzz.layers import plain
from fuzz.registry import part


class Writes(Weighted):
    """A linear map whose weight is written to before it is used."""

    write: Any

    def forward(self, x: Tensor) -> Tensor:
        type(self).write(self, x.detach())
        return F.linear(x, self.w, self.b)


def writes(name: str, write: Any) -> None:
    """Register a part whose forward begins with `write(self, x)`."""
    part("parameter")(type(name, (Writes,), {"write": staticmethod(write), "__module__": __name__}))


def _replace(self: nn.Module, x: Tensor) -> None:
    self.w = nn.Parameter(self.w.detach() * 0.9)


def _flip(self: nn.Module, x: Tensor) -> None:
    self.b.requires_grad_(not self.b.requires_grad)


def _set_grad(self: nn.Module, x: Tensor) -> None:
    self.b.grad = torch.ones_like(self.b)


def _add_grad(self: nn.Module, x: Tensor) -> None:
    if self.w.grad is None:
        self.w.grad = torch.zeros_like(self.w)
    self.w.grad.add_(1)


def _numpy(self: nn.Module, x: Tensor) -> None:
    self.w.detach().numpy().clip(-0.4, 0.4, out=self.w.detach().numpy())


def _out(self: nn.Module, x: Tensor) -> None:
    torch.mul(self.w, 0.9, out=self.w)


def _vector(self: nn.Module, x: Tensor) -> None:
    flat = nn.utils.parameters_to_vector([self.w, self.b])
    nn.utils.vector_to_parameters(flat * 0.9, [self.w, self.b])


def _set_data(self: nn.Module, x: Tensor) -> None:
    self.w.data = self.w.data * 0.9


def _inner_step(self: nn.Module, x: Tensor) -> None:
    with torch.enable_grad():
        weight = self.w
        if weight.requires_grad:
            (slope,) = torch.autograd.grad(F.linear(x.float(), weight).square().mean(), weight)
            with torch.no_grad():
                weight.sub_(0.01 * slope)


def _own_optimizer(self: nn.Module, x: Tensor) -> None:
    if not hasattr(self, "optimizer"):
        self.optimizer = torch.optim.Adam([self.b], lr=0.1)
    self.b.grad = torch.ones_like(self.b)
    self.optimizer.step()
    self.b.grad = None


for _name, _write in {
    "clamp_data": lambda s, x: s.w.data.clamp_(-0.4, 0.4),
    "clamp_no_grad": torch.no_grad()(lambda s, x: s.w.clamp_(-0.4, 0.4)),
    "renorm": torch.no_grad()(lambda s, x: s.w.copy_(torch.renorm(s.w, 2, 0, 0.5))),
    "divide": torch.no_grad()(lambda s, x: s.w.div_(s.w.norm())),
    "first_row": torch.no_grad()(lambda s, x: s.w[0].zero_()),
    "item": torch.no_grad()(lambda s, x: s.w.__setitem__((0, 0), 1.0)),
    "through_view": lambda s, x: s.w.detach().view(-1)[:4].mul_(0.5),
    "new_data": _set_data,
    "set": torch.no_grad()(lambda s, x: s.w.set_(s.w.detach().clone() * 0.9)),
    "set_source": torch.no_grad()(lambda s, x: s.w.data.set_(torch.ones_like(s.w))),
    "swap_data": lambda s, x: torch.utils.swap_tensors(s.w, nn.Parameter(s.w.detach() * 0.9)),
    "out": torch.no_grad()(_out),
    "foreach": torch.no_grad()(lambda s, x: torch._foreach_mul_([s.w, s.b], 0.9)),
    "numpy": _numpy,
    "vector": _vector,
    "initialized": lambda s, x: nn.init.normal_(s.w, std=0.1),
    "replaced": _replace,
    "flipped": _flip,
    "gradient_set": _set_grad,
    "gradient_added": _add_grad,
    "gradient_none": lambda s, x: setattr(s.w, "grad", None),
    "inner_step": _inner_step,
    "own_optimizer": torch.no_grad()(_own_optimizer),
    "noise_added": torch.no_grad()(lambda s, x: s.w.add_(torch.randn_like(s.w), alpha=0.01)),
    "bytes": lambda s, x: s.b.untyped_storage().fill_(0),
    "attribute": lambda s, x: setattr(s.w, "seen", getattr(s.w, "seen", 0) + 1),
    "hook_added": lambda s, x: s.w.register_hook(lambda g: g * 1.0) if s.w.requires_grad else None,
    "after_accumulate": lambda s, x: (
        s.w.register_post_accumulate_grad_hook(lambda p: None) if s.w.requires_grad else None
    ),
    "dequantized": lambda s, x: setattr(s.b, "data", s.b.data.bfloat16().float()),
    "resized": torch.no_grad()(lambda s, x: s.b.data.resize_(len(s.b)).add_(0.1)),
    "moved": lambda s, x: s.to(torch.float64).to(torch.float32),
    "deleted": lambda s, x: (s._parameters.pop("b"), s.register_parameter("b", nn.Parameter(torch.ones(len(s.w))))),
}.items():
    writes(_name, _write)


class Kind(nn.Module):
    """A linear layer, and a parameter `p` of an unusual kind beside it."""

    make: Any
    read: Any

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.p = type(self).make(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + type(self).read(self.p, x)


def kind(name: str, make: Any, read: Any) -> None:
    """Register a part with a parameter `make(width)` that `read(p, x)` uses."""
    members = {"make": staticmethod(make), "read": staticmethod(read), "__module__": __name__}
    part("kind")(type(name, (Kind,), members))


def _inference_parameter(width: int) -> nn.Parameter:
    with torch.inference_mode():
        return nn.Parameter(torch.ones(width), requires_grad=False)


def _frozen(t: Tensor) -> nn.Parameter:
    return nn.Parameter(t, requires_grad=False)


for _name, _make, _read in (
    ("zero_size", lambda w: nn.Parameter(torch.empty(0, w)), lambda p, x: p.sum()),
    ("scalar", lambda w: nn.Parameter(torch.tensor(1.0)), lambda p, x: p * x),
    ("unused", lambda w: nn.Parameter(torch.ones(w, w)), lambda p, x: 0.0),
    ("frozen", lambda w: _frozen(torch.eye(w)), lambda p, x: x @ p.to(x.dtype)),
    ("expanded", lambda w: nn.Parameter(torch.ones(1).expand(w)), lambda p, x: p * x),
    ("transposed", lambda w: nn.Parameter(torch.randn(w, w).T), lambda p, x: x @ p),
    ("of_flat", lambda w: nn.Parameter(torch.randn(3 * w)[w : 2 * w]), lambda p, x: p * x),
    ("complex", lambda w: nn.Parameter(torch.randn(w, w, dtype=torch.cfloat)), lambda p, x: (x.cfloat() @ p).abs()),
    ("complex_frozen", lambda w: _frozen(torch.randn(w, dtype=torch.cfloat)), lambda p, x: (x * p).real),
    ("double", lambda w: nn.Parameter(torch.randn(w, w).double()), lambda p, x: (x.double() @ p).to(x.dtype)),
    ("half", lambda w: nn.Parameter(torch.randn(w, w).bfloat16()), lambda p, x: (x.bfloat16() @ p).to(x.dtype)),
    ("float8", lambda w: _frozen(torch.randn(w, w).to(torch.float8_e4m3fn)), lambda p, x: x @ p.to(x.dtype)),
    ("sparse", lambda w: nn.Parameter(torch.eye(w).to_sparse()), lambda p, x: torch.sparse.mm(p, x.float().T).T),
    ("csr", lambda w: nn.Parameter(torch.eye(w).to_sparse_csr()), lambda p, x: (p @ x.float().T).T),
    ("integer", lambda w: _frozen(torch.ones(w, dtype=torch.int8)), lambda p, x: x * p),
    ("boolean", lambda w: _frozen(torch.ones(w, dtype=torch.bool)), lambda p, x: x * p),
    ("inference", lambda w: _inference_parameter(w), lambda p, x: x * p.clone()),
    ("nan", lambda w: nn.Parameter(torch.full((w,), float("nan"))), lambda p, x: torch.nan_to_num(p) * x),
    ("infinite", lambda w: nn.Parameter(torch.full((w,), float("inf"))), lambda p, x: x / p),
    ("from_numpy", lambda w: nn.Parameter(torch.from_numpy(torch.ones(w).numpy().copy())), lambda p, x: p * x),
    ("shared_memory", lambda w: nn.Parameter(torch.ones(w).share_memory_()), lambda p, x: p * x),
    ("list", lambda w: nn.ParameterList([torch.ones(w), torch.ones(w)]), lambda p, x: p[0] * x + p[1]),
    ("dictionary", lambda w: nn.ParameterDict({"a": torch.ones(w), "b_c": torch.ones(w)}), lambda p, x: p["a"] * x),
    ("none", lambda w: None, lambda p, x: 0.0),
    ("plain_list", lambda w: [nn.Parameter(torch.ones(w))], lambda p, x: p[0] * x),
):
    kind(_name, _make, _read)


def _tied(width: int, *, transposed: bool = False, view: bool = False) -> nn.Module:
    first, second = nn.Linear(width, width), nn.Linear(width, width)
    if view:
        second.weight.data = first.weight.data
    elif transposed:
        second.weight.data = first.weight.data.T
    else:
        second.weight = first.weight
    return nn.Sequential(first, nn.Tanh(), second)


plain("parameter", "tied", _tied)
plain("parameter", "tied_by_view", lambda w: _tied(w, view=True))
plain("parameter", "tied_transposed", lambda w: _tied(w, transposed=True))


@part("parameter")
class data_dependent(nn.Module):
    """ActNorm: scale and shift are set from the first batch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.ready = False

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            seen = x.detach().float()
            self.scale.data.copy_(1 / (seen.std(0) + 1e-3))
            self.shift.data = -seen.mean(0)
            self.ready = True
        return (x + self.shift) * self.scale


@part("parameter")
class view_kept(Weighted):
    """Keeps a view of its weight as an attribute, and writes through it."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.row = self.w.detach()[0]

    def forward(self, x: Tensor) -> Tensor:
        self.row.mul_(0.9)
        return x @ self.w
