"""Facts about torch functions and tensors that recording relies on."""

import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gainstage.run import has_data, tensors_among
from gainstage.signal import ops
from gainstage.signal._moments import plain_of
from gainstage.signal._sites import Ref

# Python functions of torch that are looked into: what they call are the sites.
COMPOSITE = (F.multi_head_attention_forward, torch.autograd.backward)
RECTIFIERS = frozenset(name for name in ops.names("activation") if ops.named(name).rectifies)
REARRANGE = ops.names("rearrange")
FACTORIES = ops.names("factory")


def op_name(func: Any) -> str:
    """`add` for `__add__`, `add_`, `__iadd__`; `T` for the getter of `.T`."""
    name: str = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":
        return getattr(func.__self__, "__name__", name)
    if name.startswith("__") and name.endswith("__"):
        name = name[2:-2]
        if name.startswith("i") and name[1:] in _OPERATORS:
            name = name[1:]
        return name
    return name.rstrip("_") or name


_OPERATORS = {"add", "sub", "mul", "div", "truediv", "matmul", "pow", "and", "or", "xor", "floordiv", "mod"}


def packet_name(func: Any) -> str:
    """The public name of an operation of the dispatcher: `softmax` for `aten::_softmax`."""
    name = str(func.overloadpacket.__name__).strip("_")
    return name.removeprefix("native_") if name in ("native_batch_norm", "native_group_norm") else name


def is_collective(func: Any) -> bool:
    """Whether a call brings the parts of one tensor together from several ranks."""
    return "c10d_functional" in f"{getattr(func, '__module__', '')} {getattr(func, 'namespace', '')}"


def same_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have one storage, also where one is wrapped by `torch.func`."""
    a, b = plain_of(a), plain_of(b)
    if a is b:
        return True
    try:
        return bool(a.untyped_storage()._cdata == b.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse
        return False


def shares_memory(a: Tensor, b: Tensor) -> bool:
    return a.layout is torch.strided and b.layout is torch.strided and torch._C._is_alias_of(a, b)  # type: ignore[attr-defined]


def differ(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold different numbers; NaN is NaN."""
    if a.shape != b.shape or a.layout != b.layout:
        return True
    a, b = (t.detach().to_dense() if t.layout is not torch.strided else t.detach() for t in (a, b))
    return a is not b and not torch.equal(a, b) and not torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def form_of(tensor: Tensor) -> tuple[tuple[int, ...], str]:
    shape = tuple(n if isinstance(n, int) else 1 for n in tensor.shape)  # a nested tensor has no one length
    return shape, str(tensor.dtype).removeprefix("torch.")


def measurable(tensor: Tensor) -> bool:
    return (tensor.is_floating_point() or tensor.is_complex()) and has_data(tensor)


def unit_axis_of(x: Tensor) -> int:
    return 1 if x.dim() >= 4 else -1


def outputs_of(result: Any) -> tuple[Tensor, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(tensors_among(result))


def map_refs(value: Any, change: Callable[[Tensor], Ref]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        return tuple(map_refs(item, change) for item in value)
    if isinstance(value, dict):
        return {key: map_refs(item, change) for key, item in value.items()}
    return value


@lru_cache
def unchecked(func: Callable[..., Any]) -> Callable[..., Any]:
    """A Python function of torch whose body runs under a mode, so that the mode sees the calls inside.

    Such functions first ask `has_torch_function` and hand themselves back to the mode; the copy answers no.
    """
    no = {f"has_torch_function{suffix}": lambda *_: False for suffix in ("", "_unary", "_variadic")}
    assert isinstance(func, types.FunctionType)
    copy = types.FunctionType(func.__code__, {**func.__globals__, **no}, func.__name__, func.__defaults__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy


def has_reentrant_checkpoint(total: Tensor) -> bool:
    seen, todo = set(), [total.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        if "CheckpointFunction" in node.name():
            return True
        seen.add(node)
        todo.extend(parent for parent, _ in node.next_functions)
    return False
