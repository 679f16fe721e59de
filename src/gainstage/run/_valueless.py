"""A model whose parameters have no values: only what they touch has none either."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map

from gainstage.errors import ForwardError
from gainstage.run._bytes import emptied, has_data
from gainstage.run._example import tensors_in
from gainstage.run._guard import writes_of
from gainstage.run._hints import needs_value

_AT_MOST = 2**26  # entries of a new tensor that is made real: what is larger is an activation and no mask
_SIZED = frozenset("zeros_like ones_like full_like new_zeros new_ones new_full".split())
_BY_VALUE = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


@contextmanager
def valueless(model: nn.Module) -> Iterator[None]:
    """A block that runs `model`: under `Valueless` where some of its parameters are on the meta device."""
    if not any(p.is_meta for p in model.parameters()):
        yield
        return
    try:
        with Together(), Valueless():  # type: ignore[no-untyped-call]
            yield
    finally:
        emptied.clear()


class Together(TorchFunctionMode):
    """A function that asks for one device, before it says what it does, is called again with everything there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            return func(*args, **kwargs)
        except RuntimeError:
            given = list(tensors_in((args, kwargs)))
            if all(t.is_meta for t in given) or not any(t.is_meta for t in given):
                raise
            with _disable_current_modes():
                args, kwargs = tree_map(_hollow, (args, kwargs))
            return func(*args, **kwargs)


class Valueless(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tensors that no parameter touches are real: ids, masks, positions and tables, which the model's code may read.

    An operation all of whose inputs are real runs as it is, also where the meta device is asked for; one that reads a
    tensor without values gives one, and what else it reads goes to the meta device for the call. A real tensor that is
    written to by one without values has lost its own, and so have its views.

    Raises:
        ForwardError: the model's control flow asks for a value that is not there; the message has the line.

    Example:
        >>> weight, ids = torch.empty(9, 4, device="meta"), torch.tensor([1, 2, 0])
        >>> with Valueless():
        ...     mask = ids != 0
        ...     x = torch.nn.functional.embedding(ids, weight) * mask[:, None]
        >>> mask.tolist(), x.device.type
        ([True, True, False], 'meta')
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        given = list(tensors_in((args, kwargs)))
        if all(has_data(t) for t in given):
            return func(*args, **_here(kwargs)) if _fits(func, args) else func(*args, **kwargs)
        if func.overloadpacket.__name__ in _SIZED and prod(given[0].shape) <= _AT_MOST:
            return func(*args, **{**_here(kwargs), "device": torch.device("cpu")})
        written = [t for t in writes_of(func, args, kwargs) if not t.is_meta]
        result = _on_meta(func, args, kwargs)
        for tensor in written:
            emptied.add(tensor)
        return written[0] if written and isinstance(result, Tensor) else result


def _fits(func: Any, args: Any) -> bool:
    """Whether a tensor that an operation makes of nothing is small enough to hold."""
    size = next((a for a in args if isinstance(a, list | tuple | torch.Size)), ())
    return prod(n for n in size if isinstance(n, int)) <= _AT_MOST


def _here(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call that has all it needs, with the CPU in place of the meta device."""
    device = kwargs.get("device")
    return {**kwargs, "device": torch.device("cpu")} if device is not None and device.type == "meta" else kwargs


def _on_meta(func: Any, args: Any, kwargs: Any) -> Any:
    """Call an operation for the shape of its result."""

    if func is torch.ops.aten.index.Tensor:  # a mask that is known tells how many entries it chooses
        args = (args[0], [p for i in args[1] for p in _positions(i)], *args[2:])
    kwargs = {n: torch.device("meta") if n == "device" and v is not None else v for n, v in kwargs.items()}
    try:
        return func(*tree_map(_hollow, args), **tree_map(_hollow, kwargs))
    except (RuntimeError, NotImplementedError) as error:
        if _BY_VALUE.intersection(func.tags):
            raise ForwardError(needs_value(func.overloadpacket.__name__)) from error
        kind = next((t.dtype for t in tensors_in(args) if t.is_floating_point()), None)
        if kind in (None, torch.bfloat16):
            raise
        try:  # some kernels state the shape of their result for bfloat16 alone
            found = func(*tree_map(lambda v: _hollow(v, torch.bfloat16), args), **kwargs)
        except Exception:
            raise error from None
        return tree_map(lambda v: _hollow(v, kind), found)


def _hollow(value: Any, dtype: torch.dtype | None = None) -> Any:
    """A tensor of this form without values, perhaps of another floating type; anything else as it is."""
    if not isinstance(value, Tensor) or (value.is_meta and dtype is None):
        return value
    kept = value.dtype if dtype is None or not value.is_floating_point() else dtype
    return torch.empty_strided(value.shape, value.stride(), dtype=kept, device="meta")


def _positions(index: Tensor | None) -> list[Tensor | None]:
    """The places that a mask chooses, one tensor an axis; an index of places itself."""
    if index is None or not has_data(index) or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    return list(index.nonzero().unbind(1))
