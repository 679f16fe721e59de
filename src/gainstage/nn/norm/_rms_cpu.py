"""RMSNorm on the CPU: two passes over a row that is in the cache, in half as many threads as torch uses.

torch composes it of seven operations there, each of which walks over memory. Imported at the first call: numba takes a
third of a second. Sums are in float64, so that a long row costs no precision; the threads share rows, and only the
gradient of the weight depends on their number, in its last bits. Half as many, because the workers of torch's operation
before still spin on their cores: on 2 cores two threads took 7.4 ms, one 4.2 to 8 (`benchmarks/norm.py`).
"""

from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

_WORTH_A_THREAD = 1 << 17  # elements a thread must have to pay for its start


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`njit` that may reorder sums, without the GIL, cached on disk where the disk can be written."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract"}, "error_model": "numpy"}
    try:
        compiled: Callable[..., Any] = njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no writable cache directory
        compiled = njit(**options)(function)
    return compiled


@_compiled
def _forward(x, weight, eps, y, scale):  # type: ignore[no-untyped-def]
    rows, features = x.shape
    for i in range(rows):
        square = 0.0
        for j in range(features):
            square += np.float64(x[i, j]) * np.float64(x[i, j])
        r = x.dtype.type(1 / np.sqrt(square / features + eps))
        scale[i] = r
        for j in range(features):
            y[i, j] = x[i, j] * r * weight[j]


@_compiled
def _backward(grad, x, weight, scale, grad_x, grad_weight):  # type: ignore[no-untyped-def]
    rows, features = x.shape
    block = np.empty_like(weight)
    for first in range(0, rows, 32):  # rows whose share of the weight's gradient is summed in the dtype of x
        block[:] = 0
        for i in range(first, min(first + 32, rows)):
            dot = 0.0
            for j in range(features):
                dot += np.float64(grad[i, j] * weight[j]) * np.float64(x[i, j])
            r = scale[i]
            along = x.dtype.type(dot / features * np.float64(r) * np.float64(r))
            for j in range(features):
                g, z = grad[i, j], x[i, j]
                grad_x[i, j] = r * (g * weight[j] - z * along)
                block[j] += g * z * r
        for j in range(features):
            grad_weight[j] += np.float64(block[j])


def forward(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """`x * r * weight` and `r`, the inverse root of the mean square of each row, for `x` of `[rows, features]`."""
    y, scale = torch.empty_like(x), x.new_empty(len(x))
    value, w, out, r = (tensor.numpy() for tensor in (x, weight, y, scale))
    _shared_out(x, lambda part, _: _forward(value[part], w, eps, out[part], r[part]))
    return y, scale


def backward(gradient: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients for `x` and for the weight."""
    grad_x = torch.empty_like(x)
    grad_weight = torch.zeros(_threads(x), x.shape[1], dtype=torch.float64)
    g, value, r, out = (tensor.numpy() for tensor in (gradient, x, scale, grad_x))
    w, sums = weight.numpy(), grad_weight.numpy()
    _shared_out(x, lambda part, k: _backward(g[part], value[part], w, r[part], out[part], sums[k]))
    return grad_x, grad_weight.sum(0).to(x.dtype)


def _threads(x: Tensor) -> int:
    return max(1, min(torch.get_num_threads() // 2, x.numel() // _WORTH_A_THREAD, len(x)))


def _shared_out(x: Tensor, work: Callable[[slice, int], None]) -> None:
    """`work(rows, k)` for every thread `k` and its share of the rows."""
    threads = _threads(x)
    edges = [k * len(x) // threads for k in range(threads + 1)]
    others = [Thread(target=work, args=(slice(edges[k], edges[k + 1]), k)) for k in range(1, threads)]
    for other in others:
        other.start()
    work(slice(edges[0], edges[1]), 0)
    for other in others:
        other.join()
