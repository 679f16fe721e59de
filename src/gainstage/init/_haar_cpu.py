"""Householder reflections multiplied out on the CPU: the same bits on every processor, in any number of threads.

A library's matrix product sums in an order of its own, which changes with the instruction set, the number of threads
and the precision that torch is set to. Here every sum is written out:

- an element of a product is summed over the inner axis from the first to the last, in float32, each product and each
  sum rounded once (no fused multiply-add); after every `CHUNK` terms the partial sum is added to the total;
- the squares of a column, the products of two vectors and the triangular factor are summed likewise, in float64;
- which elements are computed side by side, and in which thread, is left to the machine: it changes no sum.

So the bits depend on `BLOCK`, `CHUNK` and the text below and in `_tile.py`, and on nothing else.
"""

from typing import Any

import numpy as np
from numba import float32, float64, int64, types, void

from ._cpu import _compiled
from ._threads import each
from ._tile import LANES, ROWS, add_product, subtract_product

BLOCK = 96  # reflections multiplied out at a time, a multiple of LANES and ROWS
CHUNK = 256  # terms of a sum before it is added to the total: a chunk of a strip stays in the first-level cache
SLAB = 192  # rows updated at a time, a multiple of ROWS: those of a block stay in the second-level cache

_floats = types.Array(float32, 1, "C")
_doubles = types.Array(float64, 1, "C")
_matrix = types.Array(float32, 2, "C")
_any_matrix = types.Array(float32, 2, "A")


@_compiled(void(_matrix, int64, int64, _doubles, _floats))
def _lengths(g, low, high, scale, signs):  # type: ignore[no-untyped-def]
    """For columns `low` to `high`: what makes a column its reflection's vector, and the sign of what it maps to.

    (I - v v') g = -sign(g_j) |g| e_j  for  v = (g + sign(g_j) |g| e_j) / scale.
    """
    squares = np.zeros(high - low)
    for i in range(low, g.shape[0]):
        for j in range(min(i + 1, high) - low):
            x = np.float64(g[i, low + j])
            squares[j] += x * x
    for j in range(low, high):
        first, square = np.float64(g[j, j]), squares[j - low]
        sign = 1.0 if first < 0 else -1.0
        moved = first - sign * np.sqrt(square)  # no cancellation
        scale[j] = np.sqrt((square - first * first + moved * moved) / 2)
        signs[j] = sign
        g[j, j] = moved


@_compiled(void(_matrix, int64, int64, _doubles, _floats))
def _pack(g, start, wide, scale, v):  # type: ignore[no-untyped-def]
    """The vectors of a block beside each other, rows from `start` on; `v` comes with zeros."""
    count = min(wide, g.shape[1] - start)
    for r in range(g.shape[0] - start):
        for c in range(min(r + 1, count)):
            v[r * wide + c] = np.float64(g[start + r, start + c]) / scale[start + c]


@_compiled(void(_floats, int64, int64, _floats))
def _factor(v, wide, count, t):  # type: ignore[no-untyped-def]
    """T of H_a ... H_b = I - V T V': T^-1 + T^-T = V'V.

    So T^-1 is the upper triangle of V'V with half of its diagonal, which undoes the rounding of the vectors.
    """
    gram, inverse, four = np.zeros((wide, wide)), np.zeros((wide, wide)), np.zeros((4, wide))
    for low in range(0, v.size, 4 * wide):
        for k in range(4):
            for c in range(wide):
                four[k, c] = v[low + k * wide + c] if low + k * wide < v.size else 0.0
        for i in range(wide):
            x0, x1, x2, x3 = four[0, i], four[1, i], four[2, i], four[3, i]
            for j in range(i // LANES * LANES, wide):
                gram[i, j] = gram[i, j] + x0 * four[0, j] + x1 * four[1, j] + x2 * four[2, j] + x3 * four[3, j]
    for i in range(count - 1, -1, -1):
        inverse[i, i] = 1.0
        for k in range(i + 1, count):
            left = gram[i, k]
            for j in range(k, count):
                inverse[i, j] -= left * inverse[k, j]
        for j in range(i, count):
            inverse[i, j] /= gram[i, i] / 2
            t[i * wide + j] = inverse[i, j]


@_compiled(void(_floats, _floats, int64[::1], int64, int64, _floats, _any_matrix, int64))
def _columns(v, t, place, wide, tall, signs, out, group):  # type: ignore[no-untyped-def]
    """Columns `group * BLOCK` and on of H_0 H_1 ... H_{k-1}, times their signs, into `out`."""
    first = group * BLOCK
    columns = min(BLOCK, signs.size - first)
    strips, height = (columns + LANES - 1) // LANES, tall + ROWS
    rest = np.zeros(strips * height * LANES, np.float32)
    for c in range(columns):
        rest[(c // LANES * height + first + c) * LANES + c % LANES] = 1.0
    w, y = np.empty(strips * wide * LANES, np.float32), np.empty(strips * wide * LANES, np.float32)
    for block in range(group, -1, -1):
        start, at, factor = block * BLOCK, place[block], block * wide * wide
        rows = tall - start
        w[:] = 0  # V' times the rest
        for low in range(0, rows, CHUNK):
            count = min(CHUNK, rows - low)
            for s in range(strips):
                source = (s * height + start + low) * LANES
                for i in range(0, wide, ROWS):
                    add_product(v, at + low * wide + i, 1, wide, rest, source, count, w, (s * wide + i) * LANES)
        y[:] = 0  # T, which is upper triangular, times that
        for s in range(strips):
            for i in range(0, wide, ROWS):
                source = (s * wide + i) * LANES
                add_product(t, factor + i * wide + i, wide, 1, w, source, wide - i, y, source)
        for low in range(0, rows, SLAB):
            for s in range(strips):
                for r in range(low, min(low + SLAB, rows), ROWS):
                    target = (s * height + start + r) * LANES
                    subtract_product(v, at + r * wide, wide, 1, y, s * wide * LANES, wide, rest, target)
    for c in range(columns):
        source, sign = c // LANES * height * LANES + c % LANES, signs[first + c]
        for r in range(tall):
            out[r, first + c] = rest[source + r * LANES] * sign


def multiply_out(g: Any, out: Any) -> None:
    """The orthonormal columns of the QR factorization that the normal vectors `g` stand for, into `out`.

    Args:
        g: `(tall, short)`, float32; only the part on and below the diagonal is read, and the diagonal is overwritten.
        out: `(tall, short)`, float32, of any strides.
    """
    tall, short = g.shape
    wide = min(BLOCK, _up(short, ROWS))
    starts = range(0, short, BLOCK)
    place = np.cumsum([0, *(_up(tall - start, ROWS) * wide for start in starts)], dtype=np.int64)
    v, t = np.zeros(place[-1], np.float32), np.zeros(len(starts) * wide * wide, np.float32)
    scale, signs = np.empty(short), np.empty(short, np.float32)

    def pack(block: int) -> None:
        start, own = block * BLOCK, v[place[block] : place[block + 1]]
        count = min(BLOCK, short - start)
        _lengths(g, start, start + count, scale, signs)
        _pack(g, start, wide, scale, own)
        _factor(own, wide, count, t[block * wide * wide :])

    def columns(group: int) -> None:
        _columns(v, t, place, wide, tall, signs, out, group)

    each(pack, range(len(starts)), tall * short)
    each(columns, reversed(range(len(starts))), tall * short)


def _up(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple
