"""Sees every operation that writes, wherever it is written: the schema of an operation says what it changes."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_WITH_SCALARS = (torch.ops.aten.mul.Scalar, torch.ops.aten.add.Scalar)
Unseen = Callable[[Any, tuple[Any, ...], dict[str, Any], Any], None]


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Announces each tensor that an operation is about to write to.

    It stands below autograd and below torch's own functions, so that it also sees what they do inside
    (`Embedding(max_norm=)`), `out=`, `_foreach_*`, optimizers, scripted and compiled code.

    Attributes:
        written: the tensors that were written to, until somebody clears it.
        unseen: called after every operation with what was called, its arguments and its result; None for nobody.
    """

    def __init__(self, before_write: Callable[[Tensor], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._before_write = before_write
        self.written: list[Tensor] = []
        self.unseen: Unseen | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # compiled parts run eagerly under a guard: nothing would trace it, and the wrapper costs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in writes_of(func, args, kwargs):
            self._before_write(tensor)
            self.written.append(tensor)
        if func in _WITH_SCALARS and args[0]._is_zerotensor():  # torch crashes under a mode (2.13: a hessian)
            args = torch.zeros_like(args[0]), *args[1:]
        with torch._C.DisableTorchFunction():  # what stands above has seen the call, or is told of it
            result = func(*args, **kwargs)
            if self.unseen is not None:
                self.unseen(func, args, kwargs, result)
            return result


def writes_of(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors that a call writes to."""
    found = []
    for position, name in _written(func):
        value = args[position] if position is not None and position < len(args) else kwargs.get(name)
        found += [t for t in (value if isinstance(value, list | tuple) else (value,)) if isinstance(t, Tensor)]
    return found


@cache
def _written(func: torch._ops.OpOverload) -> tuple[tuple[int | None, str], ...]:
    """Position (None for keyword only) and name of every argument that an operation writes to."""
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return ()
    return tuple(
        (None if argument.kwarg_only else position, argument.name)
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    )
