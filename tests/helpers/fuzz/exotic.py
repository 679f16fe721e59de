"""Scripted, traced, compiled, lazy, pruned, quantized, shared and built under inference mode; tensor subclasses."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from fuzz.functional import Weighted
from fuzz.layers import plain
from fuzz.registry import part


class Scriptable(nn.Module):
    count: int

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear, self.norm, self.drop = nn.Linear(width, width), nn.BatchNorm1d(width), nn.Dropout(0.5)
        self.register_buffer("t", torch.zeros(1))
        self.count = 0

    def forward(self, x: Tensor) -> Tensor:
        self.t.add_(1)
        self.count += 1
        return self.drop(self.norm(self.linear(x)))


@part("exotic")
def scripted(width: int) -> nn.Module:
    return torch.jit.script(Scriptable(width))


@part("exotic")
def scripted_inside(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), torch.jit.script(nn.Dropout(0.5)), torch.jit.script(nn.ReLU()))


@part("exotic")
def traced(width: int) -> nn.Module:
    return torch.jit.trace(nn.Sequential(nn.Linear(width, width), nn.Tanh()), torch.randn(4, width))


@part("exotic")
def symbolic(width: int) -> nn.Module:
    return torch.fx.symbolic_trace(nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU()))


@part("exotic", slow=True)
def compiled(width: int) -> nn.Module:
    torch._dynamo.reset()
    return torch.compile(nn.Sequential(nn.Linear(width, width), nn.Tanh()), backend="eager")


@part("exotic", slow=True)
def compiled_in_place(width: int) -> nn.Module:
    torch._dynamo.reset()
    module = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
    module.compile(backend="aot_eager")
    return module


@part("exotic", slow=True)
class compiled_function(Weighted):
    def __init__(self, width: int) -> None:
        super().__init__(width)
        torch._dynamo.reset()
        self.run = torch.compile(lambda x, w: torch.tanh(x @ w), backend="aot_eager")

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x, self.w)


class Marked(torch.Tensor):
    """A plain subclass of tensors."""


class Wrapped(Tensor):
    """A subclass with data inside, unwrapped by `__torch_dispatch__`."""

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Wrapped":
        return Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, requires_grad=inner.requires_grad)

    def __init__(self, inner: Tensor) -> None:
        self.inner = inner

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], meta: None, size: Any, stride: Any) -> "Wrapped":
        return Wrapped(inner["inner"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = torch.utils._pytree.tree_map_only(Wrapped, lambda t: t.inner, (args, kwargs or {}))
        return func(*args, **kwargs)


class LogTensor:
    """No tensor, but answers torch functions."""

    def __init__(self, t: Tensor) -> None:
        self.t = t

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        args, kwargs = torch.utils._pytree.tree_map_only(LogTensor, lambda v: v.t, (args, kwargs or {}))
        return func(*args, **kwargs)


class PassOn(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class PassDown(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


class Through(nn.Module):
    """A linear layer, its output passed through a function."""

    def __init__(self, width: int, run: Any) -> None:
        super().__init__()
        self.linear, self.run = nn.Linear(width, width), run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.linear(x))


def _within(mode: Any) -> Any:
    def run(x: Tensor) -> Tensor:
        with mode():
            return x.tanh() * 2

    return run


def _nested_tensor(x: Tensor) -> Tensor:
    nested = torch.nested.nested_tensor([x[0], x[1]], layout=torch.jagged)
    return x + nested.tanh().unbind()[0].detach()


for _name, _run in {
    "subclass": lambda x: x.as_subclass(Marked) * 1.1,
    "subclass_left": lambda x: torch.Tensor.as_subclass(x.as_subclass(Marked).tanh(), Tensor),
    "wrapped": lambda x: x + (Wrapped(x.detach()) * 2),
    "duck": lambda x: torch.add(LogTensor(x), x),
    "function_mode": _within(PassOn),
    "dispatch_mode": _within(PassDown),
    "disabled": _within(torch._C.DisableTorchFunctionSubclass),
    "disabled_all": _within(torch._C.DisableTorchFunction),
    "nested": _nested_tensor,
    "device_context": _within(lambda: torch.device("cpu")),
    "inference_inside": lambda x: x + _inference(x),
    "cpu": lambda x: x.cpu().to("cpu", non_blocking=True).contiguous(),
    "forward_ad": lambda x: _dual(x),
}.items():
    plain("exotic", _name, lambda w, run=_run: Through(w, run))


def _inference(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.detach().tanh().clone()


def _dual(x: Tensor) -> Tensor:
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        return torch.autograd.forward_ad.unpack_dual(dual.sin()).tangent


class Symmetric(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.triu() + x.triu(1).mT


def _parametrized(width: int) -> nn.Module:
    layer = nn.Linear(width, width)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    return layer


def _lazy(width: int, *, ready: bool) -> nn.Module:
    module = nn.Sequential(nn.LazyLinear(width), nn.LazyBatchNorm1d(affine=ready), nn.ReLU())
    if ready:
        module(torch.randn(4, width))
    return module


def _built_in_inference(width: int) -> nn.Module:
    with torch.inference_mode():
        return nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))


def _quantized(width: int) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(width, width)), dtype=torch.qint8)


def _skip_init(width: int) -> nn.Module:
    layer = nn.utils.skip_init(nn.Linear, width, width)
    nn.init.normal_(layer.weight, std=0.3)
    nn.init.zeros_(layer.bias)
    return layer


class Recursive(nn.Module):
    """Calls itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor, depth: int = 2) -> Tensor:
        h = F.relu(self.linear(x))
        return self(h, depth - 1) if depth else h


for _name, _make in {
    "parametrized": _parametrized,
    "lazy_ready": lambda w: _lazy(w, ready=True),
    "lazy": lambda w: _lazy(w, ready=False),
    "built_in_inference": _built_in_inference,
    "pruned": lambda w: prune.l1_unstructured(nn.Linear(w, w), "weight", 0.3),
    "quantized": _quantized,
    "recursive": lambda w: Recursive(w),
    "skip_init": lambda w: _skip_init(w),
    "averaged": lambda w: torch.optim.swa_utils.AveragedModel(nn.Linear(w, w)),
    "module_dict": lambda w: nn.ModuleDict({"a": nn.Linear(w, w)})["a"],
    "double_child": lambda w: Cast(nn.Linear(w, w), torch.float64),
    "half_child": lambda w: Cast(nn.Sequential(nn.Linear(w, w), nn.LayerNorm(w)), torch.bfloat16),
}.items():
    plain("exotic", _name, _make)


class Cast(nn.Module):
    """Runs a module in another dtype."""

    def __init__(self, inner: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.inner, self.dtype = inner.to(dtype), dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.to(self.dtype)).to(x.dtype)
