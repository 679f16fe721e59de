"""The kernel itself, apart from its launch because importing it needs Triton."""
# mypy: ignore-errors

import triton
import triton.language as tl

from . import _reference as spec

MUL0, MUL1 = (tl.constexpr(m) for m in spec.MULTIPLIERS)
WEYL0, WEYL1 = (tl.constexpr(w) for w in spec.WEYL)
C0, C1, C2, C3, C4, C5, C6, C7 = (tl.constexpr(c) for c in spec.CENTRE)
T0, T1, T2, T3, T4, T5, T6, T7 = (tl.constexpr(c) for c in spec.TAIL)
L0, L1, L2, L3, L4, L5, L6, L7, L8 = (tl.constexpr(c) for c in spec.LOG)
LOG2, SPLIT = tl.constexpr(spec.LOG2), tl.constexpr(spec.SPLIT)
CENTRE_AT, TAIL_AT = tl.constexpr(spec.CENTRE_AT), tl.constexpr(spec.TAIL_AT)
SQRT_HALF_BITS = tl.constexpr(spec.SQRT_HALF_BITS)
UNIT24, UNIT31 = tl.constexpr(2.0**-24), tl.constexpr(2.0**-31)
TOP = tl.constexpr(0x7FFFFFFF)


@triton.jit(
    do_not_specialize=["base", "stride", "length", "tiles", "k0", "k1", "d0", "d1"],
    do_not_specialize_on_alignment=["out"],
)
def fill_kernel(
    out,
    base,
    stride,
    length,
    tiles,
    k0,
    k1,
    d0,
    d1,
    n0,
    n1,
    n2,
    n3,
    n4,
    n5,
    n6,
    n7,
    uniform: tl.constexpr,
    bfloat16: tl.constexpr,
    lanes: tl.constexpr,
    groups: tl.constexpr,
):
    """One tile of one run: `groups` groups of `4 * lanes` elements."""
    run = tl.program_id(0).to(tl.int64) // tiles
    tile = tl.program_id(0).to(tl.int64) % tiles
    first = base + run * stride  # the run's first element in the stream
    i = tl.arange(0, groups * lanes)
    group = first // (4 * lanes) + tile * groups + i // lanes
    block = group * lanes + i % lanes
    x0, x1, x2, x3 = philox(block, k0, k1, d0, d1)
    at = group * (4 * lanes) + i % lanes - first  # place of word 0 in the run
    start = out + run * length
    for word in tl.static_range(4):
        x = x0 if word == 0 else x1 if word == 1 else x2 if word == 2 else x3
        y = to_uniform(x, n0, n1, n2) if uniform else to_normal(x, n0, n1, n2, n3, n4, n5, n6, n7)
        if bfloat16:
            y = round_to_bfloat16(y)
        place = at + word * lanes
        tl.store(start + place, y, mask=(place >= 0) & (place < length))


@triton.jit
def philox(block, k0, k1, d0, d1):
    """Philox 4x32-10 of the 64-bit counter `block` below the words `d0`, `d1`."""
    x0, x1 = block.to(tl.uint32), (block >> 32).to(tl.uint32)
    x2, x3 = tl.zeros_like(x0) + d0.to(tl.uint32), tl.zeros_like(x0) + d1.to(tl.uint32)
    a0, a1 = k0.to(tl.uint32), k1.to(tl.uint32)
    for _ in tl.static_range(10):
        low, high = x0.to(tl.uint64) * MUL0, x2.to(tl.uint64) * MUL1
        x0, x1, x2, x3 = (
            (high >> 32).to(tl.uint32) ^ x1 ^ a0,
            high.to(tl.uint32),
            (low >> 32).to(tl.uint32) ^ x3 ^ a1,
            low.to(tl.uint32),
        )
        a0 = (a0.to(tl.uint64) + WEYL0).to(tl.uint32)
        a1 = (a1.to(tl.uint64) + WEYL1).to(tl.uint32)
    return x0, x1, x2, x3


@triton.jit
def to_uniform(bits, low, span, high):
    """`_reference._uniform`."""
    x = low + span * ((bits >> 8).to(tl.int32).to(tl.float32) * UNIT24)
    return tl.where(x < high, x, high)


@triton.jit
def to_normal(bits, mean, std, half, centre, below, above, lowest, highest):
    """`_reference._normal`."""
    negative = (bits >> 31) != 0
    magnitude = (bits & TOP).to(tl.int32)
    v = (magnitude.to(tl.float32) + 0.5) * UNIT31
    rest = ((magnitude ^ TOP).to(tl.float32) + 0.5) * UNIT31
    to_low = below + half * tl.where(negative, rest, 1.0 + v)
    to_high = above + half * tl.where(negative, 1.0 + v, rest)
    v = centre + half * tl.where(negative, -v, v)

    pattern = (to_low * to_high).to(tl.int32, bitcast=True)
    exponent = (pattern - SQRT_HALF_BITS) >> 23
    f = (pattern - (exponent << 23)).to(tl.float32, bitcast=True) - 1.0
    p = f * L8 + L7
    p = p * f + L6
    p = p * f + L5
    p = p * f + L4
    p = p * f + L3
    p = p * f + L2
    p = p * f + L1
    p = p * f + L0
    w = -(exponent.to(tl.float32) * LOG2 + p * f)

    tail = w >= SPLIT
    t = tl.where(tail, tl.sqrt_rn(tl.maximum(w, 0.0)) - TAIL_AT, w - CENTRE_AT)
    p = tl.where(tail, T7, C7) * t + tl.where(tail, T6, C6)
    p = p * t + tl.where(tail, T5, C5)
    p = p * t + tl.where(tail, T4, C4)
    p = p * t + tl.where(tail, T3, C3)
    p = p * t + tl.where(tail, T2, C2)
    p = p * t + tl.where(tail, T1, C1)
    p = p * t + tl.where(tail, T0, C0)
    x = p * v * std + mean
    x = tl.where(x > lowest, x, lowest)
    return tl.where(x < highest, x, highest)


@triton.jit
def round_to_bfloat16(x):
    """The upper half of the float32, rounded to nearest even, as int16."""
    pattern = x.to(tl.int32, bitcast=True)
    return ((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16).to(tl.int16)
