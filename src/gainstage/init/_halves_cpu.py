"""A square matrix as a product of two halves, from its singular value decomposition, in sums of fixed order.

Half the decomposition is that of `M'M = X D X'` (symmetric, float64): Householder reflections make it tridiagonal, and
QL steps of implicit shift (Wilkinson's) make that diagonal. The other half follows from `M X`, whose columns have the
singular values as their lengths. Squaring `M` costs nothing that float32 could show: the halves multiply to
`M X X' = M` whatever the smallest singular values are.

Every sum runs from its first term to its last, in float64, each product and each sum rounded once; columns are computed
side by side and in several threads, which changes no sum. So the bits depend on the text below, and on nothing else.
"""

from typing import Any

import numpy as np
from numba import float32, float64, int64, types, void

from ._cpu import _compiled
from ._threads import each

STRIP = 32  # columns of the result computed side by side
STEPS = 60  # most QL steps for one eigenvalue, of which two are usual

_floats = types.Array(float32, 2, "C")
_doubles = types.Array(float64, 1, "C")
_matrix = types.Array(float64, 2, "C")
_places = types.Array(int64, 1, "C")
_found: Any = types.Tuple((int64, _places, _doubles, _doubles))  # type: ignore[no-untyped-call]


@_compiled(void(_matrix, int64, int64, _matrix))
def _squared(m, low, high, out):  # type: ignore[no-untyped-def]
    """Columns `low` to `high` of the upper triangle of M'M; `m` has a multiple of four rows, some of them zero."""
    for k in range(0, m.shape[0], 4):
        for i in range(high):
            x0, x1, x2, x3 = m[k, i], m[k + 1, i], m[k + 2, i], m[k + 3, i]
            for j in range(low, high):
                out[i, j] = out[i, j] + x0 * m[k, j] + x1 * m[k + 1, j] + x2 * m[k + 2, j] + x3 * m[k + 3, j]


@_compiled(void(_matrix, _matrix, _doubles, _doubles))
def _tridiagonal(a, v, diagonal, beside):  # type: ignore[no-untyped-def]
    """Reflections I - v v' that make the symmetric `a` tridiagonal: row `k` of `v` acts on rows from `k + 1` on.

    A reflection changes `a` by -(u q' + q u') with q = p - (u'p) u / 2 and p = A u. The change of one step is made
    together with the product of the next, so that the matrix goes by once a step.
    """
    n = a.shape[0]
    u, q, p = np.zeros(n), np.zeros(n), np.zeros(n)
    for k in range(n):
        for j in range(k, n):
            a[k, j] -= u[k] * q[j] + q[k] * u[j]
        diagonal[k] = a[k, k]
        if k == n - 1:
            break
        square = 0.0
        for j in range(k + 1, n):
            square += a[k, j] * a[k, j]
        length, first = np.sqrt(square), a[k, k + 1]
        if length > 0:
            scale = np.sqrt(length * (length + abs(first)))
            for j in range(k + 1, n):
                v[k, j] = a[k, j] / scale
            v[k, k + 1] = (first - length if first < 0 else first + length) / scale
        beside[k] = length if first < 0 else -length
        p[k + 1 :] = 0
        for i in range(k + 1, n):
            ui, qi, vi = u[i], q[i], v[k, i]
            for j in range(k + 1, n):
                x = a[i, j] - (ui * q[j] + qi * u[j])
                a[i, j] = x
                p[j] += x * vi
        half = 0.0
        for j in range(k + 1, n):
            half += v[k, j] * p[j]
        half /= 2
        for j in range(k + 1, n):
            u[j] = v[k, j]
            q[j] = p[j] - half * v[k, j]


@_compiled(_found(_doubles, _doubles))
def _rotations(d, e):  # type: ignore[no-untyped-def]
    """QL steps that make a tridiagonal matrix diagonal: the rotations of rows `at` and `at + 1`, and how many.

    `d` becomes the eigenvalues. An entry of `e` is zero when it is below the rounding of the whole matrix.
    """
    n, used = d.size, 0
    room = n * n + n  # which is about what they take
    at, cosine, sine = np.empty(room, np.int64), np.empty(room), np.empty(room)
    smallest = 0.0
    for i in range(n):
        smallest = max(smallest, abs(d[i]) + abs(e[i]))
    smallest *= 2.0**-54
    for low in range(n):
        for _ in range(STEPS):
            high = low
            while high < n - 1 and abs(e[high]) > smallest:
                high += 1
            if high == low:
                break
            if used + high - low > at.size:
                at, cosine = np.concatenate((at, at)), np.concatenate((cosine, cosine))
                sine = np.concatenate((sine, sine))
            g = (d[low + 1] - d[low]) / (2 * e[low])
            r = np.sqrt(g * g + 1)
            g = d[high] - d[low] + e[low] / (g - r if g < 0 else g + r)
            s, c, p = 1.0, 1.0, 0.0
            i = high - 1
            while i >= low:
                f, b = s * e[i], c * e[i]
                r = np.sqrt(f * f + g * g)
                e[i + 1] = r
                if r == 0:
                    break
                s, c = f / r, g / r
                g = d[i + 1] - p
                r = (d[i] - g) * s + 2 * c * b
                p = s * r
                d[i + 1] = g + p
                g = c * r - b
                at[used], cosine[used], sine[used] = i, c, s
                used += 1
                i -= 1
            if i >= low:  # the block came apart in the middle
                d[i + 1] -= p
            else:
                d[low] -= p
                e[low] = g
            e[high] = 0.0
    return used, at, cosine, sine


@_compiled(void(_matrix, _matrix, int64, _places, _doubles, _doubles, _places, _floats, _floats))
def _halves(m, v, used, at, cosine, sine, which, left, right):  # type: ignore[no-untyped-def]
    """For the eigenvectors `which`: M x / sqrt(|M x|) into columns of `left`, sqrt(|M x|) x into rows of `right`."""
    n, wide = m.shape[1], which.size
    x, y, total = np.zeros((n, wide)), np.zeros((n, wide)), np.zeros(wide)
    for j in range(wide):
        x[which[j], j] = 1.0
    for step in range(used - 1, -1, -1):
        i, c, s = at[step], cosine[step], sine[step]
        for j in range(wide):
            upper, lower = x[i, j], x[i + 1, j]
            x[i, j] = c * upper + s * lower
            x[i + 1, j] = c * lower - s * upper
    for k in range(n - 2, -1, -1):
        total[:] = 0
        for i in range(k + 1, n):
            for j in range(wide):
                total[j] += v[k, i] * x[i, j]
        for i in range(k + 1, n):
            for j in range(wide):
                x[i, j] -= v[k, i] * total[j]
    total[:] = 0
    for i in range(n):
        for k in range(n):
            for j in range(wide):
                y[i, j] += m[i, k] * x[k, j]
        for j in range(wide):
            total[j] += y[i, j] * y[i, j]
    for j in range(wide):
        root = np.sqrt(np.sqrt(total[j]))  # the square root of the singular value
        for i in range(n):
            left[i, j] = y[i, j] / root if root > 0 else 0.0
            right[j, i] = root * x[i, j]


def halves(matrix: Any, rank: int) -> tuple[Any, Any]:
    """`U sqrt(S)` and `sqrt(S) V'` for the `rank` largest singular values of a square matrix, largest first.

    Args:
        matrix: `(n, n)`, float32.
        rank: from 1 to n.

    Returns:
        Two float32 arrays, `(n, rank)` and `(rank, n)`.
    """
    n = len(matrix)
    m, a, v = np.zeros((-(-n // 4) * 4, n)), np.zeros((n, n)), np.zeros((n, n))
    m[:n] = matrix
    each(lambda low: _squared(m, low, min(low + STRIP, n), a), reversed(range(0, n, STRIP)), n * n)
    d, e = np.empty(n), np.zeros(n)
    _tridiagonal(np.triu(a) + np.triu(a, 1).T, v, d, e)
    used, at, cosine, sine = _rotations(d, e)
    largest = np.argsort(-d, kind="stable")[:rank]
    left, right = np.empty((n, rank), np.float32), np.empty((rank, n), np.float32)

    def strip(low: int) -> None:
        which = largest[low : low + STRIP]
        part = np.empty((n, len(which)), np.float32)
        _halves(m, v, used, at, cosine, sine, which, part, right[low : low + STRIP])
        left[:, low : low + STRIP] = part

    each(strip, range(0, rank, STRIP), n * rank)
    return left, right
