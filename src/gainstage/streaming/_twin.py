"""A copy of a model whose parameters have no values, and whose buffers do."""

from collections.abc import Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.run import has_data, named_modules

_EXACT = {torch.bool: False, torch.uint8: 0}


def without_values(model: nn.Module) -> nn.Module:
    """A copy that shares nothing with the model, with every parameter on the meta device.

    Buffers that have no values are made by their module's own code: by its `reset_parameters`, or by `_init_weights` of
    a module around it, as Hugging Face has it. Caches are switched off (`config.use_cache`).

    Raises:
        GainstageError: the model cannot be copied, has sparse or quantized parameters, or a buffer's own module gives
            it no values.

    Example:
        >>> norm = nn.BatchNorm1d(3, device="meta")
        >>> twin = without_values(norm)
        >>> twin.running_var.tolist(), twin.weight.is_meta
        ([1.0, 1.0, 1.0], True)
    """
    memo: dict[int, object] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.layout is not torch.strided or parameter.is_quantized:
            what = "quantized" if parameter.is_quantized else f"of layout {parameter.layout}"
            raise GainstageError(f"{name!r} is {what}; a streamed start is of dense parameters")
        empty = torch.empty(parameter.shape, dtype=parameter.dtype, device="meta")
        memo.setdefault(id(parameter), nn.Parameter(empty, requires_grad=parameter.requires_grad))
    try:
        twin = deepcopy(model, memo)
    except Exception as error:
        raise GainstageError(
            f"the model cannot be copied ({type(error).__name__}: {error}), and a streamed start runs a copy"
        ) from error
    for module in twin.modules():
        config = getattr(module, "config", None)
        if getattr(config, "use_cache", False):
            config.use_cache = False  # type: ignore[union-attr]
    _fill_buffers(twin)
    return twin


def _fill_buffers(model: nn.Module) -> None:
    around: list[tuple[str, nn.Module]] = list(named_modules(model))
    for path, module in around:
        empty = {name: b for name, b in module._buffers.items() if b is not None and not has_data(b)}
        if not empty:
            continue
        for name, buffer in empty.items():
            module._buffers[name] = _unlikely(buffer)
        _own_code(module, _above(path, around))
        for name in empty:
            filled = module._buffers[name]
            if filled is None or _is_unlikely(filled):
                raise GainstageError(
                    f"the buffer {name!r} of {path or 'the model'!r} has no values (meta device), and its module's own "
                    "code gives it none. Build the model with its buffers on the CPU: accelerate.init_empty_weights() "
                    "leaves them there"
                )


def own_values(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """The values that modules give these parameters by their own code; those that it leaves alone are missing."""
    wanted, found = set(names), {}
    around = list(named_modules(model))
    for path, module in around:
        for own, parameter in list(module._parameters.items()):
            name = f"{path}.{own}" if path else own
            if parameter is None or name not in wanted:
                continue
            module._parameters[own] = filled = nn.Parameter(_unlikely(parameter), requires_grad=False)
            try:
                _own_code(module, _above(path, around))
            finally:
                module._parameters[own] = parameter
            if not _is_unlikely(filled):
                found[name] = filled.detach()
    return found


def _above(path: str, modules: list[tuple[str, nn.Module]]) -> list[nn.Module]:
    """The modules around one, and itself, outermost first."""
    return [module for other, module in modules if not other or f"{path}.".startswith(f"{other}.")]


def _own_code(module: nn.Module, around: list[nn.Module]) -> None:
    """Run what fills a module anew; on parameters without values this does nothing."""
    with torch.no_grad():
        if callable(reset := getattr(module, "reset_parameters", None)):
            reset()
        for outer in reversed(around):
            if callable(fill := getattr(outer, "_init_weights", None)):
                fill(module)
                return


def _unlikely(buffer: Tensor) -> Tensor:
    """Values that no buffer is given: to see whether something is written."""
    value = float("nan") if buffer.is_floating_point() or buffer.is_complex() else _EXACT.get(buffer.dtype, -77)
    return torch.full(buffer.shape, value, dtype=buffer.dtype, device="cpu")


def _is_unlikely(buffer: Tensor) -> bool:
    if buffer.is_floating_point() or buffer.is_complex():
        return bool(buffer.isnan().any())
    return bool(buffer.numel()) and bool((buffer == _EXACT.get(buffer.dtype, -77)).all())
