"""Hooks on a model that a copy, a pickle and a compiler leave out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Hook:
    """A hook that is nothing in a copy of the model and in a compiled graph."""

    def __init__(self, call: Callable[..., None] | None = None) -> None:
        self._call = call

    def __call__(self, *given: Any) -> None:
        if not torch.compiler.is_compiling() and self._call is not None:
            self._call(*given)

    def __deepcopy__(self, memo: Any) -> "Hook":
        return Hook()

    def __reduce__(self) -> Any:
        return Hook, ()


def outermost(
    model: nn.Module, enter: Callable[[nn.Module, Any], None], leave: Callable[[], None]
) -> Callable[[], None]:
    """Call `enter` with the inputs and `leave` around the outermost calls of a model or of its direct parts.

    Returns:
        What takes the hooks off.
    """
    inside: list[nn.Module] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        inside.append(module)
        if len(inside) == 1:
            enter(module, (args, kwargs))

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not any(module is m for m in inside):
            return
        while inside.pop() is not module:
            pass
        if not inside:
            leave()

    handles = []
    for module in (model, *model.children()):
        handles.append(module.register_forward_pre_hook(Hook(before), with_kwargs=True))
        handles.append(module.register_forward_hook(Hook(after), with_kwargs=True, always_call=True))

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove
