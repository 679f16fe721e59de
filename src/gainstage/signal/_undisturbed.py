"""Run a model and leave no trace: parameters, buffers, gradients, attributes and random states as they were."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.signal._seeded import seeded

_CONTENTS = frozenset({"_parameters", "_buffers", "_modules"})
_HOOKS = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")


@contextmanager
def undisturbed(model: nn.Module, *, seed: int = 0) -> Iterator["WriteGuard"]:
    """Give the block a fixed random state, and afterwards put everything back, also when it raises.

    Restored are the attributes and hooks of every module (so a counter, a cache or a replaced buffer comes back), the
    content of every buffer, gradients, `requires_grad`, and the random states of Python, NumPy, the CPU and every
    initialized accelerator. Parameters are copied only when something is about to write to them:
    `WriteGuard.before_write`.
    """
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [(module, dict(module.__dict__), _containers(module)) for module in modules]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers() if not buffer.is_meta]
    parameters = [(p, p.grad, p.requires_grad) for p in model.parameters()]
    guard = WriteGuard(model)
    with seeded(seed):
        try:
            yield guard
        finally:
            for module, values, containers in attributes:
                module.__dict__.clear()
                module.__dict__.update(values)
                for name, content in containers.items():
                    module.__dict__[name].clear()
                    module.__dict__[name].update(content)
            guard.restore()
            with torch.no_grad():
                for buffer, saved in buffers:
                    if not _same(buffer, saved):
                        buffer.copy_(saved)
            for parameter, grad, requires_grad in parameters:
                if parameter.grad is not grad:
                    parameter.grad = grad
                if parameter.requires_grad != requires_grad:
                    parameter.requires_grad_(requires_grad)


class WriteGuard:
    """Copies a parameter the first time that something is about to write to it, and puts the copy back."""

    def __init__(self, model: nn.Module) -> None:
        self._owners: dict[int, list[Tensor]] = {}
        for parameter in model.parameters():
            if not parameter.is_meta and parameter.numel():
                self._owners.setdefault(_address(parameter), []).append(parameter)
        self._saved: list[tuple[Tensor, Tensor]] = []

    def before_write(self, tensor: Tensor) -> None:
        """Keep the values of the parameters that share memory with `tensor`, if there are any."""
        for owner in self._owners.pop(_address(tensor), ()):
            self._saved.append((owner, owner.detach().clone()))

    def restore(self) -> None:
        """Write the kept values back."""
        with torch.no_grad():
            for parameter, values in self._saved:
                parameter.copy_(values)


def _containers(module: nn.Module) -> dict[str, dict[str, Any]]:
    """Copies of the dictionaries in which a module holds its parameters, buffers, children and hooks."""
    own = {name: value for name, value in module.__dict__.items() if isinstance(value, dict)}
    return {name: dict(value) for name, value in own.items() if name in _CONTENTS or name.endswith(_HOOKS)}


def _address(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return 0


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b)
