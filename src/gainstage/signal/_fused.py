"""All moments of a float32 array on the CPU in one read; `_moments.measure` is the readable specification."""

# mypy: disable-error-code="assignment"

from typing import Any

import numpy as np
from numba import njit

_BLOCK = 2048  # features at a time, so that the sums over samples stay in the first-level cache


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def fused(x: Any, bits: Any, out: Any) -> None:
    """Write sum, sum of squares, sum of squares around the mean over samples, zeros, minimum, maximum and non-finites.

    Args:
        x: (samples, features), float32, C-contiguous.
        bits: the same memory as int32; comparing bits vectorizes where comparing floats does not.
        out: seven float64.
    """
    samples, features = x.shape
    magnitude = np.int32(0x7FFFFFFF)
    infinity = np.int32(0x7F800000)
    shifted_sum = np.empty(_BLOCK, np.float32)
    total, square, between = 0.0, 0.0, 0.0
    zeros, nonfinite = 0, 0
    low, high = np.int32(0x7FFFFFFF), np.int32(-0x7FFFFFFF)
    for start in range(0, features, _BLOCK):
        width = min(_BLOCK, features - start)
        shifted_sum[:width] = 0
        first = x[0, start : start + width]
        shifted_square = 0.0
        for n in range(samples):
            row = x[n, start : start + width]
            row_bits = bits[n, start : start + width]
            row_sum, row_square, row_shifted = np.float32(0), np.float32(0), np.float32(0)
            for f in range(width):
                value = row[f]
                row_sum += value
                row_square += value * value
                shifted = value - first[f]  # around the first sample: exact where samples hardly differ
                row_shifted += shifted * shifted
                shifted_sum[f] += shifted
            row_zeros, row_nonfinite = np.int32(0), np.int32(0)
            for f in range(width):
                pattern = row_bits[f]
                size = pattern & magnitude
                row_zeros += np.int32(size == np.int32(0))
                row_nonfinite += np.int32(size >= infinity)
                ordered = pattern ^ ((pattern >> np.int32(31)) & magnitude)  # sorts like the float
                low, high = min(low, ordered), max(high, ordered)
            total += row_sum
            square += row_square
            shifted_square += row_shifted
            zeros += row_zeros
            nonfinite += row_nonfinite
        squared_sum = np.float32(0)
        for f in range(width):
            squared_sum += shifted_sum[f] * shifted_sum[f]
        between += max(shifted_square - squared_sum / samples, 0.0)
    out[0], out[1], out[2], out[3], out[6] = total, square, between, zeros, nonfinite
    out[4], out[5] = _unordered(low), _unordered(high)


@njit(cache=True, nogil=True)
def _unordered(ordered: Any) -> Any:
    pattern = np.empty(1, np.int32)
    pattern[0] = ordered ^ ((ordered >> np.int32(31)) & np.int32(0x7FFFFFFF))
    return pattern.view(np.float32)[0]
