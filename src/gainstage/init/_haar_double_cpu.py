"""Householder reflections multiplied out in float64, for orthogonal matrices that are exact to 1e-14.

Columns of the result are independent of each other: a few at a time stay in the cache while all reflections pass over
them. Every sum runs from its first term to its last, each product and sum rounded once, so that the bits depend on the
text below alone.
"""

from typing import Any

import numpy as np
from numba import float64, int64, types, void

from ._cpu import _compiled
from ._threads import each

STRIP = 32  # columns of the result computed side by side

_matrix = types.Array(float64, 2, "C")
_any_matrix = types.Array(float64, 2, "A")
_doubles = types.Array(float64, 1, "C")


@_compiled(void(_any_matrix, _matrix, _doubles))
def _vectors(g, v, signs):  # type: ignore[no-untyped-def]
    """Row `j` of `v`: (g + sign(g_j) |g| e_j) / scale for column `j` of `g`, so that I - v v' is its reflection."""
    for j in range(v.shape[0]):
        square = 0.0
        for i in range(j, g.shape[0]):
            v[j, i] = g[i, j]
            square += v[j, i] * v[j, i]
        first, sign = v[j, j], 1.0 if v[j, j] < 0 else -1.0
        v[j, j] = first - sign * np.sqrt(square)  # no cancellation
        scale = np.sqrt((square - first * first + v[j, j] * v[j, j]) / 2)
        for i in range(j, g.shape[0]):
            v[j, i] /= scale
        signs[j] = sign


@_compiled(void(_matrix, _doubles, _any_matrix, int64))
def _columns(v, signs, out, first):  # type: ignore[no-untyped-def]
    """Columns `first` and on of H_0 H_1 ... H_{k-1}, times their signs, into `out`."""
    count, tall = min(STRIP, v.shape[0] - first), v.shape[1]
    rest = np.zeros((tall, STRIP))
    for c in range(count):
        rest[first + c, c] = 1.0
    dot = np.empty(STRIP)
    for j in range(first + count - 1, -1, -1):
        dot[:] = 0.0
        for i in range(j, tall):
            x = v[j, i]
            for c in range(STRIP):
                dot[c] += x * rest[i, c]
        for i in range(j, tall):
            x = v[j, i]
            for c in range(STRIP):
                rest[i, c] -= x * dot[c]
    for i in range(tall):
        for c in range(count):
            out[i, first + c] = rest[i, c] * signs[first + c]


def multiply_out(g: Any, out: Any) -> None:
    """What `_haar_cpu.multiply_out` computes, in float64; `g` is left as it is."""
    tall, short = g.shape
    v, signs = np.zeros((short, tall)), np.empty(short)
    _vectors(g, v, signs)
    each(lambda first: _columns(v, signs, out, first), reversed(range(0, short, STRIP)), tall * short)
