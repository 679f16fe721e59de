"""float64: two words of the stream for each number, and functions that are right to its last digits.

The first word is that of the float32 number, the second that of the stream `name[low]`, which refines it: a float64
number differs from the float32 one by the rounding of the latter (3e-7 of the standard deviation for a normal, whose
float32 polynomial is no better). This is version 2 of float64; version 1 was the float32 number. As in `_cpu.py` only
IEEE operations are used, each rounded once and in the order written, so that the bits are the same everywhere.
"""

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import float64, int64, types, uint32, uint64, void
from numba.extending import intrinsic

from ._cpu import TILE, _compiled, _philox, in_shares
from ._reference import Recipe
from .streams import GROUP, Words

# Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37, 1988: the normal quantile to about 1 part in 1e16. A ratio
# of two polynomials near the middle, and one of sqrt(-log p) on either side of 5; numerator and denominator, from the
# constant term on.
_MIDDLE = (
    (3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3),
    (1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3),
)  # fmt: skip
_NEAR = (
    (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip
_FAR = (
    (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7),
    (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15),
)  # fmt: skip
_RATIOS = np.array([_MIDDLE, _NEAR, _FAR])
# log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + s^2 P(s^2))), s = f / (2 + f): FreeBSD's libm, within an ulp
_LOG = np.array([6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
                 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01])  # fmt: skip
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_SQRT_HALF_BITS = np.int64(0x3FE6A09E667F3BCD)

_doubles = types.Array(float64, 1, "C")


@intrinsic
def _bits(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return int64(float64), emit


@intrinsic
def _from_bits(typing: Any, x: Any) -> Any:
    def emit(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return float64(int64), emit


@_compiled()
def _log(a):  # type: ignore[no-untyped-def]
    bits: Any = _bits(a)  # type: ignore[call-arg]
    exponent = (bits - _SQRT_HALF_BITS) >> np.int64(52)
    f: Any = _from_bits(bits - (exponent << np.int64(52))) - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = _LOG[6]
    for k in range(5, -1, -1):
        p = p * z + _LOG[k]
    half = 0.5 * f * f
    return exponent * _LN2_HIGH - ((half - (s * (half + z * p) + exponent * _LN2_LOW)) - f)


@_compiled()
def _ratio(which, r):  # type: ignore[no-untyped-def]
    above, below = _RATIOS[which, 0, 7], _RATIOS[which, 1, 7]
    for k in range(6, -1, -1):
        above = above * r + _RATIOS[which, 0, k]
        below = below * r + _RATIOS[which, 1, k]
    return above / below


@_compiled()
def _normal(word, low, number):  # type: ignore[no-untyped-def]
    """As in `_reference.py`, with 63 bits behind the sign."""
    half, centre = number[2], number[3]
    negative, magnitude = word >> uint32(31) != 0, np.int64(word) & np.int64(0x7FFFFFFF)
    v = magnitude * 2.0**-31 + (np.int64(low) + 0.5) * 2.0**-63
    rest = (np.int64(0x7FFFFFFF) - magnitude) * 2.0**-31 + (np.int64(0xFFFFFFFF) - np.int64(low) + 0.5) * 2.0**-63
    to_low = number[4] + half * (rest if negative else 1.0 + v)  # twice the probability below, and above
    to_high = number[5] + half * (1.0 + v if negative else rest)
    q = (centre + half * (-v if negative else v)) / 2.0
    if abs(q) <= 0.425:
        z = q * _ratio(0, 0.180625 - q * q)
    else:
        r = np.sqrt(-_log(min(to_low, to_high) / 2.0))
        z = _ratio(1, r - 1.6) if r <= 5.0 else _ratio(2, r - 5.0)
        z = -z if q < 0.0 else z
    return min(max(z * number[1] + number[0], number[6]), number[7])


@_compiled(void(_doubles, int64, int64, int64, int64, types.boolean, _doubles, *(uint32,) * 8))
def _runs(out, at, base, stride, run, is_uniform, number, k0, k1, d0, d1, l0, l1, e0, e1):  # type: ignore[no-untyped-def]
    """Fill `out`: element `j` is `base + (at + j) // run * stride + (at + j) % run` of the stream."""
    words, lows = np.empty(TILE + GROUP, np.uint32), np.empty(TILE + GROUP, np.uint32)
    done = 0
    while done < out.size:
        row, column = (at + done) // run, (at + done) % run
        index = base + row * stride + column
        skip = index % GROUP
        count = min(TILE, run - column, out.size - done)
        groups = (skip + count + GROUP - 1) // GROUP
        _philox(words, uint64(index // GROUP), groups, k0, k1, d0, d1)
        _philox(lows, uint64(index // GROUP), groups, l0, l1, e0, e1)
        for i in range(count):
            word, low = words[skip + i], lows[skip + i]
            if is_uniform:
                unit = np.int64(uint64(word) << uint64(21) | uint64(low >> uint32(11))) * 2.0**-53
                out[done + i] = min(number[0] + number[1] * unit, number[2])
            else:
                out[done + i] = _normal(word, low, number)
        done += count


def fill_runs(
    out: Any, recipe: Recipe, words: Words, low: Words, base: int = 0, stride: int = 0, run: int = 0, at: int = 0
) -> None:
    """Fill a contiguous float64 vector with runs of a stream, as `_cpu.fill_runs` does; `low` are the second words."""
    number, run = np.array(recipe.numbers, np.float64), run or out.size

    def share(start: int, stop: int) -> None:
        _runs(out[start:stop], at + start, base, stride, run, recipe.kind == "uniform", number, *words, *low)

    in_shares(out.size, share)
