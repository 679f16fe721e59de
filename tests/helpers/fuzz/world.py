"""The state outside of the model: random states, global modes, stacks, filters, handlers, patched functions."""

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import module as modules
from torch.nn.utils import parametrize

from fuzz.state import bytes_of

_OPTIMIZER: Any = sys.modules["torch.optim.optimizer"]
_NAMESPACES: tuple[Any, ...] = (
    torch, torch.Tensor, torch.autograd, torch.autograd.graph, torch.optim.Optimizer, _OPTIMIZER, torch.random,
    torch.utils.checkpoint, torch.overrides, torch.func, nn.Module, nn.init, nn.Parameter, F, random, np.random,
    warnings,
)  # fmt: skip
_OPTIMIZER_HOOKS = (_OPTIMIZER._global_optimizer_pre_hooks, _OPTIMIZER._global_optimizer_post_hooks)
_GLOBAL_HOOKS = [name for name in vars(modules) if name.startswith("_global_") and name.endswith("hooks")]


def world() -> dict[str, Any]:
    """Everything global that a call could leave changed."""
    return {
        "random.python": hash(random.getstate()),
        "random.numpy": _numpy_state(),
        "random.torch": bytes_of(torch.default_generator.get_state()),
        "grad enabled": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast cache": torch.is_autocast_cache_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": str(torch.get_default_device()),
        "deterministic": (torch.get_deterministic_debug_mode(), torch.utils.deterministic.fill_uninitialized_memory),
        "matmul precision": torch.get_float32_matmul_precision(),
        "backends": (torch.backends.cudnn.benchmark, torch.backends.mkldnn.enabled),
        "attention": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()),
        "anomaly": (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        "multithreading": torch._C._is_multithreading_enabled(),
        "torch threads": torch.get_num_threads(),
        "function modes": torch._C._len_torch_function_stack(),
        "function mode on top": _top_of_stack(),
        "dispatch modes": torch._C._len_torch_dispatch_stack(),
        "torch function": torch._C._is_torch_function_enabled(),
        "saved tensors hooks": repr(torch._C._autograd._top_saved_tensors_default_hooks(True)),
        "functorch": torch._C._functorch.peek_interpreter_stack() is None,
        "forward ad level": torch.autograd.forward_ad._current_level,
        "parametrize cache": (parametrize._cache_enabled, len(parametrize._cache)),
        "stance": _stance(),
        "global hooks": [len(getattr(modules, name)) for name in _GLOBAL_HOOKS],
        "optimizer hooks": [len(hooks) for hooks in _OPTIMIZER_HOOKS],
        "warnings": (id(warnings.showwarning), [repr(f) for f in warnings.filters]),
        "signals": [repr(signal.getsignal(s)) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
        "threads": threading.active_count(),
        "interpreter": (sys.getrecursionlimit(), sys.gettrace(), sys.getprofile(), gc.isenabled(), gc.get_threshold()),
        "streams": (id(sys.stdout), id(sys.stderr), id(sys.excepthook), id(threading.excepthook)),
        "process": (os.getcwd(), hash(frozenset(os.environ.items())), np.geterr(), logging.root.level),
    }  # fmt: skip


def names() -> dict[tuple[str, str], int]:
    """Identities in the namespaces of torch, to see functions that stay patched."""
    return {(str(n), k): id(v) for n in _NAMESPACES for k, v in vars(n).items() if callable(v)}


def world_differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [f"world: {k}: {_short(before[k])} -> {_short(after[k])}" for k in before if before[k] != after[k]]


def names_differences(before: dict[tuple[str, str], int], after: dict[tuple[str, str], int]) -> list[str]:
    return [f"world: patched: {'.'.join(k)}" for k, v in before.items() if after.get(k) != v]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:46]}..{text[-46:]}"


def _numpy_state() -> Any:
    kind, key, position, has, cached = np.random.get_state()
    return kind, key.tobytes(), position, has, cached


def _top_of_stack() -> Any:
    size = torch._C._len_torch_function_stack()
    return [id(torch._C._get_function_stack_at(i)) for i in range(size)]


def _stance() -> str:
    frame = sys.modules.get("torch._dynamo.eval_frame")
    return repr(frame._stance) if frame is not None else "default"
