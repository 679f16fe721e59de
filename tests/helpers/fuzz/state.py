"""The state of everything that can be reached from a model, bit by bit, read without touching it."""

import collections
import ctypes
import random
import types
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fuzz.kinds import readable

_PLAIN = (int, float, complex, str, bytes, bool, type(None), torch.dtype, torch.device, torch.Size, torch.layout)
_OPAQUE = (type, types.ModuleType, types.BuiltinFunctionType)
_VALUES = ("bytes", "values")
Fields = dict[str, Any]


class Snapshot:
    """What lies on every path, and the fields of every object.

    It holds the objects themselves, so that none is freed and its address given to another.
    """

    def __init__(self, **roots: Any) -> None:
        self.paths: dict[str, Any] = {}  # the identity of an object, or a plain value as text
        self.objects: dict[int, tuple[str, Fields]] = {}
        self.storages: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._alive: list[Any] = []
        for name, root in roots.items():
            self._visit(name, root)

    def _visit(self, path: str, thing: Any) -> None:
        waiting = collections.deque([(path, thing)])
        while waiting:
            path, thing = waiting.popleft()
            if isinstance(thing, _PLAIN):
                self.paths[path] = f"{type(thing).__name__} {thing!r}"
                continue
            self.paths[path] = id(thing)
            if id(thing) not in self.objects:
                self._alive.append(thing)
                self.objects[id(thing)] = path, {"type": type(thing).__name__, **_own(thing)}
                if isinstance(thing, Tensor) and (storage := storage_of(thing)) is not None:
                    self.storages[readable(path)] = storage, _memory(storage)
                waiting += [(path + step, child) for step, child in _children(thing)]

    def lost(self) -> set[str]:
        """What nobody can bring back: memory that was freed, and a storage that NumPy or another process shares now."""
        return {
            f"{path}: {name}"
            for path, (storage, before) in self.storages.items()
            for name, now in _memory(storage).items()
            if now != before[name]
        }

    def differences(self, after: "Snapshot", *, may_be_written: Collection[int] = ()) -> list[str]:
        """What differs, one line each, with the path.

        Args:
            after: the later snapshot of the same roots.
            may_be_written: addresses of storages, and identities of tensors, whose values may change.
        """
        found = []
        gone = [path for path in self.paths if path not in after.paths]
        new = [path for path in after.paths if path not in self.paths]
        for path, now in self.paths.items():
            later = after.paths.get(path, now)
            if now != later:
                kind = "value" if isinstance(now, str) and isinstance(later, str) else "identity"
                found.append(f"{readable(path)}: {kind}: {_short(now)} -> {_short(later)}")
        for identity, (path, fields) in self.objects.items():
            later = after.objects.get(identity, (path, fields))[1]
            free = _VALUES if {fields.get("address"), identity} & set(may_be_written) else ()
            found += [f"{readable(path)}: {f}: {_short(fields.get(f))} -> {_short(later.get(f))}"
                      for f in {**fields, **later} if fields.get(f) != later.get(f) and f not in free]  # fmt: skip
        found += [f"{readable(path)}: gone" for path in _outermost(gone)]
        return found + [f"{readable(path)}: new" for path in _outermost(new)]


def _outermost(paths: list[str]) -> list[str]:
    """Paths that do not lie within another one; they come from the outside inwards."""
    found: list[str] = []
    for path in paths:
        if not any(path.startswith(outer) for outer in found):
            found.append(path)
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:36]}..{text[-36:]}"


def _own(thing: Any) -> Fields:
    """What belongs to the object itself and not to something that it holds."""
    if isinstance(thing, Tensor):
        return _tensor(thing)
    if isinstance(thing, torch.Generator):
        return {"state": bytes_of(thing.get_state())}
    if isinstance(thing, np.random.Generator):
        return {"state": repr(thing.bit_generator.state)}
    if isinstance(thing, np.random.RandomState):
        return {"state": repr(thing.get_state()), "key": thing.get_state()[1].tobytes()}
    if isinstance(thing, random.Random):
        return {"state": hash(thing.getstate())}
    if isinstance(thing, np.ndarray):
        return {
            "bytes": thing.tobytes(),
            "shape": thing.shape,
            "dtype": str(thing.dtype),
            "writeable": thing.flags.writeable,
        }
    if isinstance(thing, bytearray | set | frozenset):
        return {"content": sorted(map(repr, thing))}
    if isinstance(thing, torch.jit.ScriptModule):
        return _scripted(thing)
    if isinstance(thing, dict):
        return {"keys": [repr(k) if isinstance(k, _PLAIN) else id(k) for k in thing]}
    if isinstance(thing, list | tuple | collections.deque):
        return {"length": len(thing)}
    if isinstance(thing, torch.utils.hooks.RemovableHandle):
        return {"id": thing.id}
    return {}


def _scripted(module: Any) -> Fields:
    """What TorchScript keeps in C++: flags and numbers; tensors are found as parameters and buffers."""
    return {"training": module.training, "count": module.count if module._c.hasattr("count") else None}


def _children(thing: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, with the step that leads to it."""
    if isinstance(thing, _OPAQUE) or getattr(type(thing), "outside_of_the_model", False):
        return
    if isinstance(thing, Tensor):
        yield from _of_tensor(thing)
    elif isinstance(thing, torch.jit.ScriptModule):
        yield from (
            (f"~{name}", t) for name, t in [*thing.named_parameters(recurse=False), *thing.named_buffers(recurse=False)]
        )
        yield from ((f".{name}", child) for name, child in thing.named_children())
    elif isinstance(thing, dict):
        yield from ((f"[{k!r}]" if isinstance(k, _PLAIN) else f"[#{i}]", v) for i, (k, v) in enumerate(thing.items()))
        yield from ((f"[key {i}]", k) for i, k in enumerate(thing) if isinstance(k, Tensor))
    elif isinstance(thing, list | tuple | collections.deque):
        yield from ((f"[{i}]", v) for i, v in enumerate(thing))
    elif isinstance(thing, types.MethodType):
        yield ".__self__", thing.__self__
    elif isinstance(thing, types.FunctionType):
        for i, cell in enumerate(thing.__closure__ or ()):
            try:
                yield f".<cell {thing.__code__.co_freevars[i]}>", cell.cell_contents
            except ValueError:
                continue
    elif hasattr(thing, "func") and hasattr(thing, "keywords"):
        yield from ((".func", thing.func), (".args", thing.args), (".keywords", thing.keywords))
    elif isinstance(getattr(thing, "__dict__", None), dict) and not _of_torch_inside(thing):
        yield ".__dict__", thing.__dict__
        for name in getattr(type(thing), "__slots__", ()) if isinstance(thing, object) else ():
            if name != "__weakref__" and hasattr(thing, name):
                yield f".{name}", getattr(thing, name)
    else:
        for name in getattr(type(thing), "__slots__", ()):
            if isinstance(name, str) and hasattr(thing, name) and not name.startswith("__"):
                yield f".{name}", getattr(thing, name)


def _of_torch_inside(thing: Any) -> bool:
    """Machinery of torch that keeps caches of its own: compiled code, graphs."""
    module = type(thing).__module__ or ""
    return module.startswith(("torch._dynamo", "torch.fx", "torch._inductor", "torch._C", "torch._ops", "threading"))


def _of_tensor(t: Tensor) -> Iterator[tuple[str, Any]]:
    if t.is_leaf and t.grad is not None:
        yield ".grad", t.grad
    for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        hooks = getattr(t, name, None)
        if hooks:
            yield f".{name}", hooks
    if t.__dict__:
        yield ".__dict__", t.__dict__


def _tensor(t: Tensor) -> Fields:
    with torch._C.DisableTorchFunction(), torch.utils._python_dispatch._disable_current_modes():
        fields: Fields = {
            "shape": tuple(t.shape) if not _unready(t) else "none yet",
            "dtype": t.dtype,
            "layout": t.layout,
            "device": t.device,
            "requires_grad": t.requires_grad,
            "is_inference": t.is_inference(),
            "is_leaf": t.is_leaf,
            "grad_fn": id(t.grad_fn) if t.grad_fn is not None else None,
            "hooks": len(t._backward_hooks or ()) if not t.is_inference() else 0,
            "conj": t.is_conj() if t.layout == torch.strided else False,
        }
        if t.layout in (torch.sparse_coo,):
            fields |= {
                "values": bytes_of(t._values()),
                "indices": bytes_of(t._indices()),
                "coalesced": t.is_coalesced(),
            }
        elif t.layout == torch.sparse_csr:
            fields |= {"values": bytes_of(t.values()), "indices": bytes_of(t.col_indices())}
        elif t.layout == torch.strided and not _unready(t):
            fields |= {"stride": t.stride(), "offset": t.storage_offset(), **_storage(t)}
        return fields


def _unready(t: Tensor) -> bool:
    return isinstance(t, nn.parameter.UninitializedTensorMixin)


def storage_of(t: Tensor) -> Any:
    """The storage of a tensor that has one in memory."""
    if t.layout != torch.strided or _unready(t):
        return None
    try:
        storage = t.untyped_storage()
        storage.data_ptr()
    except (RuntimeError, NotImplementedError):
        return None
    return storage


def _memory(storage: Any) -> dict[str, Any]:
    return {"address": storage.data_ptr(), "resizable": storage.resizable(), "shared": storage.is_shared()}


def _storage(t: Tensor) -> Fields:
    storage = storage_of(t)
    if storage is None:
        return {}
    address, size = storage.data_ptr(), storage.nbytes()
    if t.is_meta:
        return {"nbytes": size}
    content = ctypes.string_at(address, size) if size and address else b""
    return {"address": address, "nbytes": size, "resizable": storage.resizable(), "bytes": content}


def bytes_of(t: Tensor) -> bytes:
    """The bytes of the whole storage of a tensor, read past torch (`numpy()` would change the storage)."""
    return _storage(t).get("bytes", b"")
