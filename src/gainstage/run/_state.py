"""What a model, an optimizer or a function holds, kept as it is: each thing on its own, and put back on its own."""

import argparse
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from gainstage.errors import GainstageError
from gainstage.run._bytes import Memory, dense_parts
from gainstage.run._form import Form

_LARGEST = 2**20  # entries of an array that belongs to no module or optimizer; larger ones are data
_FARTHEST = 8  # steps from what is kept to what it holds
_STATEFUL = (Optimizer, LRScheduler, ReduceLROnPlateau, torch.amp.GradScaler)
_FOREIGN = frozenset({"torch", "numpy", "builtins", "gainstage", "torchvision", *sys.stdlib_module_names})
_RUNTIME = ("torch._", "torch.cuda", "torch.distributed", "torch.multiprocessing", "torch.utils", "torch.profiler")
_FIXED = (bool, int, float, complex, str, bytes, type, type(None), types.ModuleType, types.BuiltinFunctionType)
_FIXED_TYPES = frozenset(_FIXED)

Failures = list[tuple[str, BaseException]]


class NotRestored(GainstageError):
    """Something that a model changed could not be put back; the message names it."""

    @classmethod
    def of(cls, failed: Failures) -> "NotRestored":
        """The error that tells of the first failure, and is caused by it."""
        what, why = failed[0]
        error = cls(
            f"{what} could not be put back ({type(why).__name__}: {why}); everything else is as it was. Build the "
            "model anew before you go on"
        )
        error.__cause__ = why
        return error


class State:
    """Remembers mutable things as they are, and gives them that state again in reverse order.

    Reached from what is kept are modules with all their attributes, tensors, optimizers, learning rate schedules,
    gradient scalers, random generators, lists, dictionaries and sets, from the attributes of objects, the variables
    that a function closes over and the globals that it names. What has been read from an iterator is gone, and files
    stay written.

    Attributes:
        scalers: the gradient scalers that were reached.
    """

    def __init__(self) -> None:
        self.scalers: list[torch.amp.GradScaler] = []
        self._memory = Memory()
        self._seen: dict[int, Any] = {}
        self._undo: list[tuple[str, Callable[..., object], tuple[Any, ...]]] = []

    def restore(self) -> Failures:
        """Put everything back; what could not be, with the reason."""
        failed: Failures = []
        while self._undo:
            what, put, values = self._undo[-1]
            try:
                put(*values)
            except BaseException as error:
                failed.append((what, error))
            self._undo.pop()
        self._memory.restore(failed)
        return failed

    def before_write(self, tensor: Tensor) -> None:
        """Copy what `tensor` shares with kept tensors, unless that has been done."""
        self._memory.before_write(tensor)

    def before(self, tensor: Tensor) -> Tensor:
        """The values that a kept tensor had."""
        form = self._seen.get(id(tensor))
        return self._before(form.alias) if isinstance(form, Form) else tensor.detach()

    def _before(self, tensor: Tensor) -> Tensor:
        if not is_traceable_wrapper_subclass(tensor):
            return self._memory.before(tensor)
        names, context = tensor.__tensor_flatten__()
        inner = {name: getattr(tensor, name) for name in names}
        inner = {name: self._before(part) if isinstance(part, Tensor) else part for name, part in inner.items()}
        return type(tensor).__tensor_unflatten__(inner, context, tensor.size(), tensor.stride())

    def keep(self, thing: Any, depth: int = 0, owned: bool = False) -> None:
        """Remember `thing` and what it holds, unless that has been done; `owned` by a module or optimizer."""
        if id(thing) in self._seen or depth > _FARTHEST or isinstance(thing, _FIXED):
            return
        if isinstance(thing, Tensor):
            self._tensor(thing)
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, nn.Module):
            inner = [(path, m) for path, m in thing.named_modules() if m is thing or id(m) not in self._seen]
            self._seen |= {id(module): module for _, module in inner}
            for path, module in inner:
                self._module(path, module, depth)
        elif isinstance(thing, dict | MutableMapping):
            self._mapping("a dictionary", thing, depth, owned)
        elif isinstance(thing, _STATEFUL):
            if isinstance(thing, torch.amp.GradScaler):
                self.scalers.append(thing)
            self._mapping(type(thing).__name__, thing.__dict__, depth, owned=True)
        elif isinstance(thing, list | deque | set | bytearray):
            self._collection(thing, depth, owned)
        elif isinstance(thing, tuple):
            self._all(thing, depth, owned)
        elif isinstance(thing, np.ndarray):
            self._array(thing, owned)
        elif isinstance(thing, functools.partial | types.MethodType | types.FunctionType):
            if not owned:  # a hook's variables are its owner's
                self._callable(thing, depth)
        elif not self._generator(thing) and (is_users(type(thing)) or _is_plain(type(thing))):
            what = f"the attributes of a {type(thing).__name__}"
            if hasattr(thing, "__dict__"):
                self._mapping(what, thing.__dict__, depth, owned)
            for name in {name for kind in type(thing).__mro__ for name in vars(kind).get("__slots__", ())}:
                if (value := getattr(thing, name, None)) is not None and name not in ("__dict__", "__weakref__"):
                    self._later(what, setattr, thing, name, value)
                    self.keep(value, depth + 1, owned)
            self.keep(vars(type(thing)).get("__call__"), depth + 1, owned)

    # --- each kind of thing ------------------------------------------------------------------------------------------

    def _all(self, things: Iterable[Any], depth: int, owned: bool = False) -> None:
        for thing in things:
            if type(thing) not in _FIXED_TYPES:  # most attributes of a module are
                self.keep(thing, depth + 1, owned)

    def _later(self, what: str, put: Callable[..., object], *values: Any) -> None:
        self._undo.append((what, put, values))

    def _tensor(self, tensor: Tensor) -> None:
        self._seen[id(tensor)] = form = Form(tensor)
        self._later("a tensor", form.put_back)
        for name, part in dense_parts(form.alias):
            self._memory.keep(part)
            if name in getattr(tensor, "__dict__", {}):  # of a wrapper (DTensor, a quantized weight)
                self._later("a part of a tensor", setattr, tensor, name, tensor.__dict__[name])
        if form.grad is not None:
            self.keep(form.grad, owned=True)
        for hooks in form.hooks.values():
            self.keep(hooks, owned=True)

    def _module(self, path: str, module: nn.Module, depth: int) -> None:
        what = f"the attributes of {path or type(module).__name__}"
        if isinstance(module, torch.jit.ScriptModule):
            self._scripted(what, module, depth)
            return
        self._later(what, _set_class, module, type(module))
        self._mapping(what, module.__dict__, depth, owned=True)

    def _scripted(self, what: str, module: torch.jit.ScriptModule, depth: int) -> None:
        """The attributes of a scripted module are kept in C++; its lists and dictionaries come as copies."""
        held: Any = module._c
        kind: Any = getattr(module, "_concrete_type", None)
        names = ("training", *dict(module.named_parameters(recurse=False)), *(kind.get_attributes() if kind else ()))
        for name, value in _attributes(held, names).items():
            if isinstance(value, Tensor):
                self.keep(value, depth + 1, owned=True)
            self._later(what, _set_attribute, held, name, value)

    def _mapping(self, what: str, mapping: MutableMapping[Any, Any], depth: int, owned: bool) -> None:
        content = dict(mapping)
        self._later(what, refill, mapping, content)
        if content:
            self._all(content.values(), depth, owned)

    def _collection(self, items: Any, depth: int, owned: bool) -> None:
        content = list(items)
        self._later(f"a {type(items).__name__}", _refill_collection, items, content)
        self._all(content[:10_000], depth, owned)

    def _array(self, array: np.ndarray[Any, Any], owned: bool) -> None:
        if (owned or array.size <= _LARGEST) and array.flags.writeable and not array.dtype.hasobject:
            self._later("an array", _put_array, array, array.copy())

    def _generator(self, thing: Any) -> bool:
        if isinstance(thing, torch.Generator):
            self._later("a random generator", thing.set_state, thing.get_state())
        elif isinstance(thing, random.Random):
            self._later("a random generator", thing.setstate, thing.getstate())
        elif isinstance(thing, np.random.RandomState):
            self._later("a random generator", thing.set_state, thing.get_state())
        elif isinstance(thing, np.random.Generator):
            self._later("a random generator", setattr, thing.bit_generator, "state", thing.bit_generator.state)
        else:
            return False
        return True

    def _callable(self, function: Any, depth: int) -> None:
        if isinstance(function, functools.partial):
            self._all((function.func, function.args, function.keywords), depth)
        elif isinstance(function, types.MethodType):
            self._all((function.__self__, function.__func__), depth)
        elif is_users(function):
            self._function(function, depth)

    def _function(self, function: types.FunctionType, depth: int) -> None:
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._later("a variable", setattr, cell, "cell_contents", value)
            self.keep(value, depth + 1)
        self.keep(function.__defaults__, depth + 1)
        for name in _names_in(function.__code__) & function.__globals__.keys():
            value = function.__globals__[name]
            if not isinstance(value, types.ModuleType | type):
                self._later(f"the variable {name}", function.__globals__.__setitem__, name, value)
                self.keep(value, depth + 1)


def refill(mapping: MutableMapping[Any, Any], content: Mapping[Any, Any]) -> None:
    """Give a mapping its old content and order; what is as it was is not touched, which other threads may read."""
    if not content and not mapping:  # of a module's many dictionaries of hooks most are
        return
    for added in [key for key in mapping if key not in content]:
        del mapping[added]
    for key, value in content.items():
        if key not in mapping or mapping[key] is not value:
            mapping[key] = value
    if list(mapping) != list(content):
        for key, value in content.items():
            del mapping[key]
            mapping[key] = value


def _refill_collection(items: Any, content: list[Any]) -> None:
    if len(items) == len(content) and all(a is b for a, b in zip(items, content, strict=True)):
        return
    items.clear()
    (items.update if isinstance(items, set) else items.extend)(content)


def _put_array(array: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    if array.tobytes() != values.tobytes():
        array[...] = values


def _set_class(module: nn.Module, kind: type) -> None:
    if type(module) is not kind:
        module.__class__ = kind


def _attributes(held: Any, names: Iterable[str]) -> dict[str, Any]:
    return {name: held.getattr(name) for name in names if held.hasattr(name)}


def _set_attribute(held: Any, name: str, value: Any) -> None:
    now = held.getattr(name)
    if now is not value and (isinstance(value, Tensor) or now != value):
        held.setattr(name, value)


def _names_in(code: types.CodeType) -> set[str]:
    """The names that a function, and what is defined inside it, looks up in its module."""
    inner = [_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _is_plain(kind: type) -> bool:
    """Whether a class that is not the user's holds its state in attributes (`SobolEngine`), and not in the runtime."""
    torchs = kind.__module__.startswith("torch.") and not kind.__module__.startswith(_RUNTIME)
    return torchs or kind in (types.SimpleNamespace, argparse.Namespace)


def is_users(thing: Any) -> bool:
    """Whether a class or function is neither Python's own nor torch's."""
    return (getattr(thing, "__module__", None) or "builtins").split(".")[0] not in _FOREIGN
