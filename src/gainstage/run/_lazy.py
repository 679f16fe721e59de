"""Models whose shapes the first pass decides."""

from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, is_lazy

from gainstage.errors import GainstageError
from gainstage.run._example import call
from gainstage.run._seeded import seeded
from gainstage.run._undisturbed import undisturbed


def with_shapes(model: nn.Module, example: Any) -> nn.Module:
    """The model itself; for one with lazy parameters a copy that has run once and so knows its shapes.

    Raises:
        GainstageError: the copy does not run, or its parameters have no shape afterwards either.
    """
    lazy = [name for name, tensor in (*model.named_parameters(), *model.named_buffers()) if is_lazy(tensor)]
    if not lazy:
        return model
    try:
        with undisturbed(model, example), torch.no_grad():  # a hook of the copy may hold what is the model's
            model = _copy(model)
            call(model, example)
    except Exception as error:
        raise GainstageError(
            f"parameter {lazy[0]!r} of a lazy module has no shape yet, and a copy of the model does not run on the "
            f"example ({type(error).__name__}: {error}); run the model once first"
        ) from error
    if any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        raise GainstageError(f"parameter {lazy[0]!r} of a lazy module has no shape after a pass; is its module called?")
    return model


def give_shapes(model: nn.Module, example: Any) -> None:
    """Give the lazy parameters of a model their shapes, as its first pass would, and change nothing else."""
    named = dict(model.named_modules())
    inputs: dict[str, tuple[Any, Any]] = {}
    if not any(is_lazy(tensor) for tensor in (*model.parameters(), *model.buffers())):
        return
    lazy = [path for path, module in named.items() if isinstance(module, nn.modules.lazy.LazyModuleMixin)]
    copy = _copy(model)
    for path in lazy:
        note = lambda module, args, kwargs, path=path: inputs.setdefault(path, (args, kwargs))  # noqa: E731
        copy.get_submodule(path).register_forward_pre_hook(note, with_kwargs=True, prepend=True)
    with undisturbed(model, example), torch.no_grad():
        call(copy, example)
    with seeded(0), torch.no_grad():
        for path in lazy:
            if path in inputs and named[path].has_uninitialized_params():
                named[path]._infer_parameters(named[path], *inputs[path])


def _copy(model: nn.Module) -> nn.Module:
    """A deep copy; what torch cannot copy deeply (lazy buffers, compressed sparse tensors) is made anew."""
    memo: dict[int, Any] = {}
    for buffer in model.buffers():
        if buffer.layout not in (torch.strided, torch.sparse_coo):
            memo[id(buffer)] = buffer.detach().clone()
        if is_lazy(buffer):
            memo[id(buffer)] = UninitializedBuffer(dtype=buffer.dtype, device=buffer.device)  # type: ignore[call-arg]
    return deepcopy(model, memo)
