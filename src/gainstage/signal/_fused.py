"""All moments of a float32 array on the CPU in one read; `_moments._sums` is the readable specification."""

# mypy: disable-error-code="assignment"

from typing import Any

import numpy as np
from numba import njit

_BLOCK = 2048  # features at a time, so that the sums over samples stay in the first-level cache
_MAGNITUDE = np.int32(0x7FFFFFFF)
_INFINITY = np.int32(0x7F800000)
_FAST = {"reassoc", "nsz"}  # sums may be reordered, which lets them vectorize; NaN and infinity stay what they are


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def fused(x: Any, bits: Any, out: Any) -> None:
    """Write sum, sum of squares, sum of squares around the mean over samples, zeros, minimum, maximum and non-finites.

    Args:
        x: (samples, features), float32, C-contiguous.
        bits: the same memory as int32; comparing bits vectorizes where comparing floats does not.
        out: seven float64.
    """
    samples, features = x.shape
    over_samples = np.empty(_BLOCK, np.float32)
    total, square, of_means, zeros = 0.0, 0.0, 0.0, 0
    low, high = _MAGNITUDE, np.int32(-0x7FFFFFFF)
    for start in range(0, features, _BLOCK):
        width = min(_BLOCK, features - start)
        over_samples[:width] = 0
        for n in range(samples):
            row = x[n, start : start + width]
            row_bits = bits[n, start : start + width]
            row_square, row_sum, row_zeros = np.float32(0), np.float32(0), np.int32(0)
            if samples == 1:
                for f in range(width):
                    row_square += row[f] * row[f]
                    row_sum += row[f]
            else:
                for f in range(width):
                    row_square += row[f] * row[f]
                    over_samples[f] += row[f]
            for f in range(width):
                pattern = row_bits[f]
                row_zeros += np.int32((pattern & _MAGNITUDE) == np.int32(0))
                ordered = pattern ^ ((pattern >> np.int32(31)) & _MAGNITUDE)  # sorts like the float
                low, high = min(low, ordered), max(high, ordered)
            square += row_square
            zeros += row_zeros
            total += row_sum
        if samples == 1:
            continue
        block_sum, block_means = np.float32(0), np.float32(0)
        for f in range(width):
            block_sum += over_samples[f]
            block_means += over_samples[f] * over_samples[f]
        total += block_sum
        of_means += block_means
    between = square - of_means / samples if samples > 1 else 0.0
    if samples > 1 and not between > 1e-3 * square:
        between = _around_first(x)  # the difference has lost its digits
    out[0], out[1], out[2], out[3] = total, square, between, zeros
    out[4], out[5] = _unordered(low), _unordered(high)
    out[6] = 0
    if high >= _INFINITY or low <= -_INFINITY - 1:
        out[6] = _nonfinite(bits)


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _around_first(x: Any) -> float:
    """Sum of squares around the mean over samples, by differences from the first sample: exact where they are small."""
    samples, features = x.shape
    between = 0.0
    shifted_sum = np.empty(_BLOCK, np.float32)
    for start in range(0, features, _BLOCK):
        width = min(_BLOCK, features - start)
        shifted_sum[:width] = 0
        shifted_square = 0.0
        for n in range(1, samples):
            row_square = np.float32(0)
            for f in range(width):
                shifted = x[n, start + f] - x[0, start + f]
                row_square += shifted * shifted
                shifted_sum[f] += shifted
            shifted_square += row_square
        squared_sum = np.float32(0)
        for f in range(width):
            squared_sum += shifted_sum[f] * shifted_sum[f]
        between += max(shifted_square - squared_sum / samples, 0.0)
    return between


@njit(cache=True, nogil=True)
def _nonfinite(bits: Any) -> int:
    count = 0
    for row in bits:
        for pattern in row:
            count += (pattern & _MAGNITUDE) >= _INFINITY
    return count


@njit(cache=True, nogil=True)
def _unordered(ordered: Any) -> Any:
    pattern = np.empty(1, np.int32)
    pattern[0] = ordered ^ ((ordered >> np.int32(31)) & _MAGNITUDE)
    return pattern.view(np.float32)[0]
