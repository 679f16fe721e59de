"""Torch's global settings, which a model may change while it runs."""

from collections.abc import Callable
from functools import partial

import torch


def settings() -> list[Callable[[], object]]:
    """Modes, default dtype, precision and threads as they are, each as what puts it back if it has changed."""
    found: list[Callable[[], object]] = [
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


def _kept(get: Callable[[], object], put: Callable[..., object]) -> Callable[[], object]:
    value = get()

    def put_back() -> None:
        if get() != value:
            put(value)

    return put_back
