"""Writing a stream into memory: which elements of the parameter a tensor holds, and which path makes them.

A tensor may be the whole parameter or a box of it (a shard). A box is a set of *runs* of consecutive elements; only
those elements are made, in pieces of bounded size where the tensor is not plain float32 memory.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from math import prod
from types import ModuleType

import torch
from torch import Tensor

from gainstage._memory import array_over

from ._reference import Recipe
from .streams import Stream

PIECE = 1 << 20  # elements of the float32 buffer where one is needed: 4 MB
Run = tuple[int, int, int, int]  # base, stride, length of a run, number of runs


def draw(recipe: Recipe, stream: Stream, shape: Sequence[int]) -> Tensor:
    """A whole tensor of `shape` on the CPU, in the stream's dtype."""
    out = torch.empty(tuple(shape), dtype=stream.dtype, device="cpu")
    write_(out, recipe, stream, shape, (0,) * len(shape))
    return out


def write_(target: Tensor, recipe: Recipe, stream: Stream, shape: Sequence[int], offset: Sequence[int]) -> None:
    """Fill `target`, the box of a parameter of `shape` that starts at `offset`."""
    if target.numel() == 0:
        return
    if recipe.kind == "constant":
        target.fill_(recipe.numbers[0])
        return
    if not target.is_contiguous():
        _write_by_slabs(target, recipe, stream, shape, offset)
        return
    write_runs, flat, start = _write_wide if stream.wide else _write_runs, target.view(-1), 0
    if target.shape == shape:  # all of it, as most often
        write_runs(flat, recipe, stream, 0, 0, flat.numel())
        return
    for base, stride, length, count in runs(shape, offset, target.shape):
        write_runs(flat[start : start + length * count], recipe, stream, base, stride, length)
        start += length * count


def runs(shape: Sequence[int], offset: Sequence[int], box: Sequence[int]) -> Iterator[Run]:
    """The box as regular runs of element indices, in the order of the box's own elements."""
    cut = next((d for d in reversed(range(len(shape))) if box[d] != shape[d]), None)
    if cut is None:
        yield 0, 0, prod(shape), 1
        return
    inner = prod(shape[cut + 1 :])
    length, stride, first = box[cut] * inner, shape[cut] * inner, offset[cut] * inner
    for row, row_stride, row_length, row_count in runs(shape[:cut], offset[:cut], box[:cut]):
        for r in range(row_count):
            yield first + (row + r * row_stride) * stride, stride, length, row_length


def _write_wide(flat: Tensor, recipe: Recipe, stream: Stream, base: int, stride: int, length: int) -> None:
    """Regular runs of float64 numbers into contiguous memory."""
    from ._double_cpu import fill_runs

    words, low = stream.words(), stream.part("low").words()
    if type(flat) is Tensor and flat.is_cpu and not flat.is_neg():
        fill_runs(array_over(flat), recipe, words, low, base, stride, length)
        return
    buffer = torch.empty(min(PIECE, flat.numel()), dtype=torch.float64, device="cpu")
    for start in range(0, flat.numel(), PIECE):
        piece = flat[start : start + PIECE]
        part = buffer[: piece.numel()]
        fill_runs(array_over(part), recipe, words, low, base, stride, length, start)
        piece.copy_(part)


def _write_runs(flat: Tensor, recipe: Recipe, stream: Stream, base: int, stride: int, length: int) -> None:
    """Regular runs into contiguous memory."""
    words = stream.words()
    if flat.is_cuda and flat.element_size() > 1:
        from ._triton import available, fill_runs

        if available():
            fill_runs(flat, recipe, words, base, stride, length)
            return
    on_cpu = _compiled().fill_runs
    own = type(flat) is Tensor and flat.is_cpu and not flat.is_neg()  # a subclass may keep its numbers elsewhere
    if own and flat.dtype in (torch.float32, torch.bfloat16):
        on_cpu(array_over(flat), recipe, words, base, stride, length)
        return
    buffer = torch.empty(min(PIECE, flat.numel()), dtype=torch.float32, device="cpu")
    for start in range(0, flat.numel(), PIECE):
        piece = flat[start : start + PIECE]
        part = buffer[: piece.numel()]
        on_cpu(array_over(part), recipe, words, base, stride, length, start)
        piece.copy_(part)


@cache
def _compiled() -> ModuleType:
    from . import _cpu

    return _cpu


def _write_by_slabs(
    target: Tensor, recipe: Recipe, stream: Stream, shape: Sequence[int], offset: Sequence[int]
) -> None:
    """Strided memory: through a buffer that holds as much of the outermost axes as fits."""
    if target.numel() <= PIECE:
        buffer = torch.empty(target.shape, dtype=stream.dtype, device="cpu")
        write_(buffer, recipe, stream, shape, offset)
        target.copy_(buffer)
        return
    axis = next(d for d, n in enumerate(target.shape) if n > 1)
    step = max(1, PIECE * target.shape[axis] // target.numel())
    for start in range(0, target.shape[axis], step):
        slab = target.narrow(axis, start, min(step, target.shape[axis] - start))
        moved = [o + start if d == axis else o for d, o in enumerate(offset)]
        if slab.is_contiguous():
            write_(slab, recipe, stream, shape, moved)
        else:
            _write_by_slabs(slab, recipe, stream, shape, moved)
