"""The CUDA path: `_reference.py` as a Triton kernel, the same bits.

A program makes `LANES * GROUPS` Philox blocks of one run and writes their four words each, so nothing is computed
twice. The launch forbids fused multiply-add, and the square root is the correctly rounded one; everything else is
IEEE arithmetic in the order of the specification.
"""

from contextlib import nullcontext
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor

from . import _reference as spec
from .streams import GROUP, LANES, Words

_GROUPS = 64  # groups a program makes: 4096 elements


@lru_cache
def available() -> bool:
    """Triton is installed. (Without it, CUDA tensors are filled from the CPU, with the same bits.)"""
    return find_spec("triton") is not None


def fill_runs(flat: Tensor, recipe: spec.Recipe, words: Words, base: int, stride: int, length: int) -> None:
    """Fill contiguous memory of any floating type: element `j` is `base + j // length * stride + j % length`."""
    from ._triton_kernel import fill_kernel

    tiles = (length + GROUP - 1 + GROUP * _GROUPS - 1) // (GROUP * _GROUPS)  # a run may start inside a group
    grid = (tiles * (flat.numel() // length),)
    numbers = (*recipe.numbers, *(0.0,) * 8)[:8]
    signed = [word - 2**32 if word >= 2**31 else word for word in words]
    half = flat.dtype == torch.bfloat16
    with torch.cuda.device(flat.device) if flat.is_cuda else nullcontext():
        fill_kernel[grid](
            flat.view(torch.int16) if half else flat,
            base,
            stride,
            length,
            tiles,
            *signed,
            *numbers,
            uniform=recipe.kind == "uniform",
            bfloat16=half,
            lanes=LANES,
            groups=_GROUPS,
            enable_fp_fusion=False,
        )
