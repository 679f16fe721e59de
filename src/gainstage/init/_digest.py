"""A number that tells whether a tensor holds these values, and that shards can add up."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from ._errors import CannotFill

_GOLDEN = -7046029254386353131  # 2^64 / golden ratio, as a signed number
_MIX = ((30, -4658895280553007687), (27, -7723592293110705685))  # shift, factor: SplitMix64's finalizer
_BLOCK = 2**16  # elements at a time: what is computed on the way stays in the cache


def digest(tensor: Tensor, *, shape: Sequence[int] | None = None, offset: Sequence[int] | None = None) -> int:
    r"""A 64-bit digest of values and their places, whatever the order in which they are read.

    $$ D = \sum_i h\bigl(b(x_i) \oplus g\,(i + 1)\bigr) \bmod 2^{64} $$

    with i the index of an element in the whole parameter, b the bits of its value as a double, g an odd constant and h
    the finalizer of SplitMix64. A sum has no order, so the digests of a parameter's shards add up to its own. The type
    is no part of it: a bfloat16 value has the digest of the same float32 value; a rounded value has another.

    Args:
        tensor: the values, or a part of them.
        shape: of the whole parameter; default: the tensor is all of it.
        offset: where in it the tensor begins.

    Returns:
        An integer below 2^64.

    Raises:
        CannotFill: sparse, quantized or without values.

    Example:
        >>> w = torch.arange(6.0).reshape(2, 3)
        >>> parts = [digest(w[:, :2], shape=(2, 3), offset=(0, 0)), digest(w[:, 2:], shape=(2, 3), offset=(0, 2))]
        >>> sum(parts) % 2**64 == digest(w)
        True

    References:
        Steele, Lea, Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        what = "without values" if tensor.is_meta else f"of layout {tensor.layout}, {tensor.dtype}"
        raise CannotFill(f"a digest is of a dense tensor with values; got one {what}.")
    whole = tuple(tensor.shape) if shape is None else tuple(shape)
    start = (0,) * tensor.dim() if offset is None else tuple(offset)
    total = torch.zeros((), dtype=torch.int64, device=tensor.device)
    with torch.no_grad():
        for values, places in _blocks(tensor.detach(), whole, start):
            total += _mixed(_bits(values) ^ places.add_(1).mul_(_GOLDEN)).sum()
    return int(total) % 2**64


def _blocks(tensor: Tensor, whole: tuple[int, ...], start: tuple[int, ...]) -> Iterator[tuple[Tensor, Tensor]]:
    """Parts of a tensor, each with the places of its elements in the whole."""
    if not tensor.dim():
        tensor, whole, start = tensor.reshape(1), (1,), (0,)
    strides = [prod(whole[axis + 1 :]) for axis in range(len(whole))]
    device: Any = tensor.device
    inner = torch.zeros((1,) * (tensor.dim() - 1), dtype=torch.int64, device=device)
    for axis in range(1, tensor.dim()):
        steps = (torch.arange(tensor.shape[axis], device=device) + start[axis]) * strides[axis]
        inner = inner + steps.reshape((-1,) + (1,) * (tensor.dim() - 1 - axis))
    rows = max(_BLOCK // max(inner.numel(), 1), 1)
    for first in range(0, tensor.shape[0] if tensor.numel() else 0, rows):
        values = tensor[first : first + rows]
        outer = (torch.arange(first, first + len(values), device=device) + start[0]) * strides[0]
        yield values, outer.reshape((-1,) + (1,) * inner.dim()) + inner


def _bits(values: Tensor) -> Tensor:
    """The values as the bits of doubles; whole numbers and truth values as they are."""
    if values.is_complex():
        real, imaginary = (_bits(part) for part in (values.real, values.imag))
        return real ^ imaginary.mul(_GOLDEN)
    return values.double().contiguous().view(torch.int64) if values.is_floating_point() else values.long()


def _mixed(z: Tensor) -> Tensor:
    for shift, factor in _MIX:
        z ^= (z >> shift) & (2 ** (64 - shift) - 1)  # the shift of a signed number copies its sign
        z *= factor
    z ^= (z >> 31) & (2**33 - 1)
    return z
