"""Global settings of torch, and the filters of warnings, which a model may change while it runs."""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch


def settings() -> list[Callable[[], object]]:
    """Modes, default dtype and device, precision and threads, each as what puts it back if it has changed."""
    filters = warnings.catch_warnings()
    filters.__enter__()
    found: list[Callable[[], object]] = [
        lambda: filters.__exit__(None, None, None),
        _kept(_default_device, torch.set_default_device),
        _kept(torch.is_grad_enabled, torch._C._set_grad_enabled),
        _kept(torch.get_default_dtype, torch.set_default_dtype),
        _kept(torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        _kept(torch.get_num_threads, torch.set_num_threads),
        _kept(torch.is_anomaly_enabled, torch.set_anomaly_enabled),
        _kept(torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled),
        _kept(torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    ]
    for device in ("cpu", "cuda"):
        enabled = partial(torch.is_autocast_enabled, device), partial(torch.set_autocast_enabled, device)
        dtype = partial(torch.get_autocast_dtype, device), partial(torch.set_autocast_dtype, device)
        found += [_kept(*enabled), _kept(*dtype)]
    return found


def _default_device() -> Any:
    """What `set_default_device` was given; None for nothing."""
    context = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    return None if context is None else context.device


def _kept(get: Callable[[], object], put: Callable[..., object]) -> Callable[[], object]:
    value = get()

    def put_back() -> None:
        if get() != value:
            put(value)

    return put_back
