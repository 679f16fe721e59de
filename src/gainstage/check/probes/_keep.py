"""Undo what a training step does: parameters, gradients, optimizers, schedules, and what else its code can reach."""

import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gainstage.signal._undisturbed import undisturbed

_LARGEST = 2**20  # entries of a tensor that belongs to no module or optimizer; larger ones are data, which stays
_FARTHEST = 8  # steps from the training step to what it holds
_STATEFUL = (Optimizer, LRScheduler, ReduceLROnPlateau, torch.amp.GradScaler)
_FOREIGN = frozenset({"torch", "numpy", "builtins", "gainstage", "torchvision", *sys.stdlib_module_names})


@contextmanager
def kept(model: nn.Module, *reached: Any, seed: int = 0) -> Iterator["Keeper"]:
    """`undisturbed`, and bit for bit back: parameters, gradients, and everything that can be reached from `reached`.

    Reached are optimizers, learning rate schedules, gradient scalers, modules, random generators, lists and
    dictionaries, from the attributes of objects, the variables that a function closes over and the globals that it
    names. An optimizer that is found nowhere is kept before its first step. What has been read from an iterator is
    gone, and files stay written.
    """
    with ExitStack() as stack:
        stack.enter_context(undisturbed(model, seed=seed))
        keeper = Keeper(stack, seed)
        stack.callback(keeper.restore)
        keeper.keep(model)
        for thing in reached:
            keeper.keep(thing)
        hook = register_optimizer_step_pre_hook(lambda optimizer, args, kwargs: keeper.keep(optimizer))
        stack.callback(hook.remove)
        yield keeper


class Keeper:
    """Copies mutable things before they change, and puts the copies back in reverse order.

    Attributes:
        scalers: the gradient scalers that were reached.
    """

    def __init__(self, stack: ExitStack, seed: int) -> None:
        self.scalers: list[torch.amp.GradScaler] = []
        self._stack, self._seed = stack, seed
        self._seen: dict[int, Any] = {}
        self._undo: list[Callable[[], object]] = []

    def restore(self) -> None:
        """Put everything back."""
        while self._undo:
            self._undo.pop()()

    def before(self, tensor: Tensor) -> Tensor:
        """The values that a kept tensor had."""
        values: Tensor = self._seen[id(tensor)][1]
        return values

    def keep(self, thing: Any, depth: int = 0, owned: bool = False) -> None:
        """Copy `thing` and what it holds, unless that has been done; `owned` by a module or optimizer."""
        if id(thing) in self._seen or depth > _FARTHEST or thing is None:
            return
        if isinstance(thing, Tensor):
            if owned or thing.requires_grad or thing.numel() <= _LARGEST:
                self._tensor(thing)
            return
        self._seen[id(thing)] = (thing, None)
        if isinstance(thing, nn.Module):
            self._module(thing, depth)
        elif isinstance(thing, _STATEFUL):
            if isinstance(thing, torch.amp.GradScaler):
                self.scalers.append(thing)
            self._mapping(thing.__dict__, depth, owned=True)
        elif isinstance(thing, MutableMapping):
            self._mapping(thing, depth, owned)
        elif isinstance(thing, list | deque | set):
            self._collection(thing, depth, owned)
        elif isinstance(thing, tuple):
            for item in thing:
                self.keep(item, depth + 1, owned)
        elif isinstance(thing, torch.Generator):
            self._later(thing.set_state, thing.get_state())
        elif isinstance(thing, random.Random):
            self._later(thing.setstate, thing.getstate())
        elif isinstance(thing, np.random.Generator):
            self._later(functools.partial(setattr, thing.bit_generator, "state"), thing.bit_generator.state)
        elif isinstance(thing, functools.partial):
            self.keep((thing.func, thing.args, thing.keywords), depth + 1)
        elif isinstance(thing, types.MethodType):
            self.keep(thing.__self__, depth + 1)
            self.keep(thing.__func__, depth + 1)
        elif isinstance(thing, types.FunctionType):
            self._function(thing, depth)
        elif not isinstance(thing, type | types.ModuleType) and _is_users(type(thing)):
            if hasattr(thing, "__dict__"):
                self._mapping(thing.__dict__, depth, owned)
            self.keep(vars(type(thing)).get("__call__"), depth + 1)

    def _later(self, put: Callable[[Any], object], value: Any) -> None:
        self._undo.append(functools.partial(put, value))

    def _tensor(self, tensor: Tensor) -> None:
        if tensor.is_meta:
            return
        grad = tensor.grad if tensor.is_leaf else None
        leaf, wants = tensor.is_leaf, tensor.requires_grad
        memory = tensor.detach()
        values = memory.clone()
        self._seen[id(tensor)] = (tensor, values)
        if grad is not None:
            self.keep(grad, owned=True)

        def put_back() -> None:
            if _address(tensor) != _address(memory):
                tensor.data = memory
            tensor.data.copy_(values)  # through .data: the version that autograd knows is not counted up
            if leaf:
                if tensor.requires_grad != wants:
                    tensor.requires_grad_(wants)
                if tensor.grad is not grad:
                    tensor.grad = grad

        self._undo.append(put_back)

    def _module(self, module: nn.Module, depth: int) -> None:
        if depth:
            self._stack.enter_context(undisturbed(module, seed=self._seed))
        for tensor in (*module.parameters(), *module.buffers()):
            self.keep(tensor, depth, owned=True)
        self._seen |= {id(inner): (inner, None) for inner in module.modules()}

    def _mapping(self, mapping: MutableMapping[Any, Any], depth: int, owned: bool) -> None:
        content = dict(mapping)
        self._undo.append(lambda: _refill(mapping, content))
        for value in content.values():
            self.keep(value, depth + 1, owned)

    def _collection(self, items: Any, depth: int, owned: bool) -> None:
        content = list(items)

        def put_back() -> None:
            items.clear()
            (items.update if isinstance(items, set) else items.extend)(content)

        self._undo.append(put_back)
        for item in content[:10_000]:
            self.keep(item, depth + 1, owned)

    def _function(self, function: types.FunctionType, depth: int) -> None:
        if not _is_users(function):
            return
        for cell in function.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not yet assigned
                continue
            self._later(functools.partial(setattr, cell, "cell_contents"), value)
            self.keep(value, depth + 1)
        self.keep(function.__defaults__, depth + 1)
        for name in _names_in(function.__code__) & function.__globals__.keys():
            value = function.__globals__[name]
            if not isinstance(value, types.ModuleType | type):
                self._later(functools.partial(function.__globals__.__setitem__, name), value)
                self.keep(value, depth + 1)


def _names_in(code: types.CodeType) -> set[str]:
    """The names that a function, and what is defined inside it, looks up in its module."""
    inner = [_names_in(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*inner)


def _refill(mapping: MutableMapping[Any, Any], content: dict[Any, Any]) -> None:
    """Give a mapping its old content and order; what is as it was is not touched, which other threads may read."""
    for added in [key for key in mapping if key not in content]:
        del mapping[added]
    if list(mapping) != list(content):
        mapping.clear()
    for key, value in content.items():
        if key not in mapping or mapping[key] is not value:
            mapping[key] = value


def _is_users(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "builtins").split(".")[0] not in _FOREIGN


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except (NotImplementedError, RuntimeError):  # sparse tensors and wrappers have none
        return 0
