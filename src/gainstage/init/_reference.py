"""The specification of every random number, in plain torch: from a stream and an element index to a float32.

The fast paths (`_cpu.py`, `_triton.py`) compute the same bits. What makes that possible: integers until the very end,
then only IEEE float32 additions, multiplications, comparisons and one square root, each rounded once, in the order
written here; no fused multiply-add, no library function. It runs on any torch device.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from .streams import GROUP, LANES, Words

MASK = 0xFFFFFFFF
ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)

# sqrt(2) erfinv(v) / v, within 3.3e-7 (relative): a polynomial in w - 3 where w = -log(1 - v^2) < 6 ...
CENTRE = (
    2.2960355281829834,
    0.34171873331069946,
    -0.00811687856912613,
    -0.001185197033919394,
    0.0002771340950857848,
    -1.6905871234484948e-05,
    -2.7826506538985996e-06,
    4.7624388344047475e-07,
)
# ... and in sqrt(w) - 3.5 where 6 <= w < 22.4, which is as far as 32 bits reach (6.3 sigma)
TAIL = (
    4.717088222503662,
    1.424629807472229,
    0.004660327453166246,
    -0.0028722896240651608,
    0.0014325175434350967,
    -0.0010642895940691233,
    0.0007866848609410226,
    -0.0002515820669941604,
)
# log(1 + f) / f for sqrt(1/2) <= 1 + f < sqrt(2), within 3e-8
LOG = (
    1.0,
    -0.49999988079071045,
    0.3333418667316437,
    -0.25002074241638184,
    0.19956833124160767,
    -0.16562393307685852,
    0.14952266216278076,
    -0.14366842806339264,
    0.08722355216741562,
)
LOG2 = 0.6931471824645996  # float32(log 2)
SQRT_HALF_BITS = 0x3F3504F3  # the bits of float32(sqrt(1/2))
SPLIT, CENTRE_AT, TAIL_AT = 6.0, 3.0, 3.5


class Recipe(NamedTuple):
    """A distribution as the numbers that the kernels need, each rounded to float32 before use.

    `constant`: (value,). `uniform`: (low, span, high). `normal`: (mean, std, half, centre, below, above, low, high):
    with `v` uniform on (-1, 1) the value is `mean + std * sqrt(2) erfinv(centre + half * v)`, held to [low, high];
    `below` is `1 + centre - half` and `above` is `1 - centre - half`, given apart because they may be tiny.
    """

    kind: Literal["constant", "uniform", "normal"]
    numbers: tuple[float, ...]


def reference(recipe: Recipe, words: Words, index: Tensor) -> Tensor:
    """The elements `index` (int64, any shape) of the stream `words`, as float32 on the device of `index`."""
    if recipe.kind == "constant":
        return torch.full(index.shape, recipe.numbers[0], dtype=torch.float32, device=index.device)
    bits = random_words(words, index)
    number = [torch.tensor(x, dtype=torch.float32, device=index.device) for x in recipe.numbers]
    return _uniform(bits, *number) if recipe.kind == "uniform" else _normal(bits, *number)


def random_words(words: Words, index: Tensor) -> Tensor:
    """The 32-bit word of each element, as int64."""
    block = (index // GROUP) * LANES + index % LANES
    four = philox(block & MASK, block >> 32, words[2], words[3], words[0], words[1])
    return torch.stack(four).gather(0, ((index % GROUP) // LANES)[None])[0]


def philox(c0: Tensor, c1: Tensor, c2: int | Tensor, c3: int | Tensor, k0: int, k1: int) -> tuple[Tensor, ...]:
    """Philox 4x32-10: a bijection of the 128-bit counter (four words, int64 tensors), chosen by a 64-bit key.

    References:
        Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, SC 2011.
    """
    x0, x1, x2, x3 = c0, c1, torch.zeros_like(c0) + c2, torch.zeros_like(c0) + c3
    for _ in range(ROUNDS):
        low, high = x0 * MULTIPLIERS[0], x2 * MULTIPLIERS[1]  # 64-bit products; int64 wraps, the bits are the same
        x0, x1, x2, x3 = (high >> 32 & MASK) ^ x1 ^ k0, high & MASK, (low >> 32 & MASK) ^ x3 ^ k1, low & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return x0, x1, x2, x3


def _uniform(bits: Tensor, low: Tensor, span: Tensor, high: Tensor) -> Tensor:
    """`low + span * u` with `u` a multiple of 2^-24 in [0, 1), exact; held to `high`, which rounding may overstep."""
    unit = (bits >> 8).float() * 2.0**-24
    return torch.minimum(low + span * unit, high)


def _normal(
    bits: Tensor,
    mean: Tensor,
    std: Tensor,
    half: Tensor,
    centre: Tensor,
    below: Tensor,
    above: Tensor,
    low: Tensor,
    high: Tensor,
) -> Tensor:
    """The top bit is the sign of `v`, the other 31 its size; 1 - |v| is kept to full precision too."""
    negative = bits >= 2**31
    magnitude = bits & 0x7FFFFFFF
    v = (magnitude.float() + 0.5) * 2.0**-31
    rest = ((0x7FFFFFFF - magnitude).float() + 0.5) * 2.0**-31  # 1 - |v|
    to_low = below + half * torch.where(negative, rest, 1.0 + v)
    to_high = above + half * torch.where(negative, 1.0 + v, rest)
    v = centre + half * torch.where(negative, -v, v)

    w = -_log(to_low * to_high)
    tail = w >= SPLIT
    t = torch.where(tail, _sqrt(w) - TAIL_AT, w - CENTRE_AT)
    p = torch.where(tail, _float(TAIL[-1]), _float(CENTRE[-1]))
    for in_tail, in_centre in zip(TAIL[-2::-1], CENTRE[-2::-1], strict=True):
        p = p * t + torch.where(tail, _float(in_tail), _float(in_centre))
    return torch.minimum(torch.maximum(p * v * std + mean, low), high)


def _log(a: Tensor) -> Tensor:
    bits = a.view(torch.int32)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    f = (bits - (exponent << 23)).view(torch.float32) - 1.0
    p = torch.full_like(f, LOG[-1])
    for coefficient in LOG[-2::-1]:
        p = p * f + coefficient
    return exponent.float() * LOG2 + p * f


def _sqrt(w: Tensor) -> Tensor:
    """Correctly rounded, which `torch.sqrt` of float32 is not on every CPU (one result in five is off by a bit)."""
    return w.double().sqrt().float()


def _float(x: float) -> Tensor:
    return torch.tensor(x, dtype=torch.float32, device="cpu")
