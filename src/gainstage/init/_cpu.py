"""The CPU path: `_reference.py` compiled by numba, the same bits, in as many threads as torch uses.

Imported at the first fill, not before: numba takes a third of a second. The kernels release the GIL and are cached on
disk; each thread runs its own share of the elements, so the number of threads cannot change a bit.
"""

from collections.abc import Callable
from itertools import pairwise
from threading import Thread
from typing import Any, cast

import numpy as np
import torch
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float32, int32, int64, njit, types, uint16, uint32, uint64, void
from numba.extending import intrinsic

from . import _reference as spec
from .streams import GROUP, LANES, Words

TILE = 4096  # elements made at a time: 16 kB of words, which stay in the first-level cache
WORTH_A_THREAD = 1 << 17  # elements a thread must have to pay for its start

MUL0, MUL1 = uint32(spec.MULTIPLIERS[0]), uint32(spec.MULTIPLIERS[1])
WEYL0, WEYL1 = uint32(spec.WEYL[0]), uint32(spec.WEYL[1])
C0, C1, C2, C3, C4, C5, C6, C7 = (np.float32(c) for c in spec.CENTRE)
T0, T1, T2, T3, T4, T5, T6, T7 = (np.float32(c) for c in spec.TAIL)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (np.float32(c) for c in spec.LOG)
LOG2, SPLIT = np.float32(spec.LOG2), np.float32(spec.SPLIT)
CENTRE_AT, TAIL_AT = np.float32(spec.CENTRE_AT), np.float32(spec.TAIL_AT)
HALF, ONE, UNIT24, UNIT31 = np.float32(0.5), np.float32(1), np.float32(2.0**-24), np.float32(2.0**-31)
SQRT_HALF_BITS, MAGNITUDE, TOP = np.int32(spec.SQRT_HALF_BITS), np.int32(0x7FFFFFFF), uint32(31)

_words = types.Array(uint32, 1, "C")
_floats = types.Array(float32, 1, "C")
_halves = types.Array(uint16, 1, "C")


def _compiled(signature: Any = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`njit` with strict IEEE arithmetic, without the GIL, cached on disk where the disk can be written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            compiled: Any = njit(signature, cache=True, nogil=True, error_model="numpy")(function)
        except RuntimeError:  # numba found no writable cache directory
            compiled = njit(signature, nogil=True, error_model="numpy")(function)
        return cast(Callable[..., Any], compiled)

    return decorate


@intrinsic
def _bits(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return int32(float32), emit


@intrinsic
def _from_bits(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return float32(int32), emit


@_compiled()
def _philox(out, group, groups, k0, k1, d0, d1):  # type: ignore[no-untyped-def]
    """The words of `groups` groups from `group` on, in element order."""
    for g in range(groups):
        first = (group + uint64(g)) * uint64(LANES)
        o = g * GROUP
        for lane in range(LANES):
            block = first + uint64(lane)
            x0, x1, x2, x3 = uint32(block), uint32(block >> uint64(32)), d0, d1
            a0, a1 = k0, k1
            for _ in range(10):
                low, high = uint64(MUL0) * uint64(x0), uint64(MUL1) * uint64(x2)
                x0, x1, x2, x3 = (
                    uint32(high >> uint64(32)) ^ x1 ^ a0,
                    uint32(high),
                    uint32(low >> uint64(32)) ^ x3 ^ a1,
                    uint32(low),
                )
                a0, a1 = uint32(a0 + WEYL0), uint32(a1 + WEYL1)
            out[o + lane], out[o + LANES + lane] = x0, x1
            out[o + 2 * LANES + lane], out[o + 3 * LANES + lane] = x2, x3


@_compiled()
def _uniform(words, out, number):  # type: ignore[no-untyped-def]
    low, span, high = number[0], number[1], number[2]
    for i in range(out.size):
        x = low + span * (np.float32(np.int32(words[i] >> uint32(8))) * UNIT24)
        out[i] = x if x < high else high


@_compiled()
def _normal(words, out, number):  # type: ignore[no-untyped-def]
    mean, std, half, centre = number[0], number[1], number[2], number[3]
    below, above, lowest, highest = number[4], number[5], number[6], number[7]
    for i in range(out.size):
        negative = (words[i] >> TOP) != 0
        magnitude = np.int32(words[i]) & MAGNITUDE
        v = (np.float32(magnitude) + HALF) * UNIT31
        rest = (np.float32(MAGNITUDE - magnitude) + HALF) * UNIT31
        to_low = below + half * (rest if negative else ONE + v)
        to_high = above + half * (ONE + v if negative else rest)
        v = centre + half * (-v if negative else v)
        # w = -log(to_low * to_high)
        bits: Any = _bits(to_low * to_high)  # type: ignore[call-arg]
        exponent = np.int32(np.int32(bits - SQRT_HALF_BITS) >> np.int32(23))
        f = _from_bits(np.int32(bits - np.int32(exponent << np.int32(23)))) - ONE
        p = L8
        p = p * f + L7
        p = p * f + L6
        p = p * f + L5
        p = p * f + L4
        p = p * f + L3
        p = p * f + L2
        p = p * f + L1
        p = p * f + L0
        w = -(np.float32(exponent) * LOG2 + p * f)
        tail = w >= SPLIT
        t = np.sqrt(w) - TAIL_AT if tail else w - CENTRE_AT
        p = T7 if tail else C7
        p = p * t + (T6 if tail else C6)
        p = p * t + (T5 if tail else C5)
        p = p * t + (T4 if tail else C4)
        p = p * t + (T3 if tail else C3)
        p = p * t + (T2 if tail else C2)
        p = p * t + (T1 if tail else C1)
        p = p * t + (T0 if tail else C0)
        x = p * v * std + mean
        x = x if x > lowest else lowest
        out[i] = x if x < highest else highest


@_compiled()
def _to_bfloat16(values, out):  # type: ignore[no-untyped-def]
    """The upper half of each float32, rounded to nearest even."""
    for i in range(out.size):
        bits: Any = _bits(values[i])  # type: ignore[call-arg]
        out[i] = uint16(uint32(bits + np.int32(0x7FFF) + ((bits >> np.int32(16)) & np.int32(1))) >> uint32(16))


@_compiled(void(_floats, _halves, int64, int64, int64, int64, types.boolean, _floats, *(uint32,) * 4))
def _runs(out, halves, at, base, stride, run, is_uniform, number, k0, k1, d0, d1):  # type: ignore[no-untyped-def]
    """Fill `out`, or else `halves`: element `j` is `base + (at + j) // run * stride + (at + j) % run` of the stream."""
    words, values = np.empty(TILE + GROUP, np.uint32), np.empty(TILE, np.float32)
    done, size = 0, out.size + halves.size
    while done < size:
        row, column = (at + done) // run, (at + done) % run
        index = base + row * stride + column
        skip = index % GROUP
        count = min(TILE, run - column, size - done)
        _philox(words, uint64(index // GROUP), (skip + count + GROUP - 1) // GROUP, k0, k1, d0, d1)
        place = values[:count] if halves.size else out[done : done + count]
        if is_uniform:
            _uniform(words[skip : skip + count], place, number)
        else:
            _normal(words[skip : skip + count], place, number)
        if halves.size:
            _to_bfloat16(place, halves[done : done + count])
        done += count


_NO_FLOATS, _NO_HALVES = np.empty(0, np.float32), np.empty(0, np.uint16)


def fill_runs(
    out: Any, recipe: spec.Recipe, words: Words, base: int = 0, stride: int = 0, run: int = 0, at: int = 0
) -> None:
    """Fill a contiguous NumPy vector with runs of a stream (`run` 0: one run), using torch's number of threads.

    Element `j` of `out` becomes element `base + (at + j) // run * stride + (at + j) % run`; a vector of uint16 gets the
    bits of bfloat16.
    """
    number, run = np.array(recipe.numbers, np.float32), run or out.size

    def share(start: int, stop: int) -> None:
        part = out[start:stop]
        pair = (part, _NO_HALVES) if out.dtype == np.float32 else (_NO_FLOATS, part)
        _runs(*pair, at + start, base, stride, run, recipe.kind == "uniform", number, *words)

    in_shares(out.size, share)


def in_shares(size: int, share: Callable[[int, int], None]) -> None:
    """`share(start, stop)` for parts of `size` elements, in as many threads as torch uses and are worth it."""
    parts = min(torch.get_num_threads(), size // WORTH_A_THREAD)
    if parts < 2:
        share(0, size)
        return
    cuts = [size * part // parts // TILE * TILE for part in range(parts)] + [size]
    threads = [Thread(target=share, args=cut) for cut in pairwise(cuts[1:])]
    for thread in threads:
        thread.start()
    share(cuts[0], cuts[1])
    for thread in threads:
        thread.join()
