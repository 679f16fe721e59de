"""A NumPy array over the memory of a tensor, with the tensor's storage left as it is.

`Tensor.numpy()` gives such an array as well, but marks the storage as one that can never be resized again: then
`x.resize_` fails, and so do `fully_shard` and `share_memory` on a parameter that was only looked at.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gainstage.errors import GainstageError

_TYPES: dict[torch.dtype, Any] = {
    torch.float64: np.dtype(np.float64),
    torch.float32: np.dtype(np.float32),
    torch.float16: np.dtype(np.float16),
    torch.bfloat16: np.dtype(np.uint16),  # its bits: NumPy has no such type
    torch.int64: np.dtype(np.int64),
    torch.int32: np.dtype(np.int32),
    torch.int16: np.dtype(np.int16),
    torch.int8: np.dtype(np.int8),
    torch.uint64: np.dtype(np.uint64),
    torch.uint32: np.dtype(np.uint32),
    torch.uint16: np.dtype(np.uint16),
    torch.uint8: np.dtype(np.uint8),
    torch.bool: np.dtype(np.bool_),
}
_CODES = {dtype: own.str for dtype, own in _TYPES.items()}


class _Memory:
    """What NumPy asks for memory; the array holds this, and this holds the tensor."""

    def __init__(self, tensor: Tensor, address: int) -> None:
        self.tensor = tensor
        self.__array_interface__ = {
            "shape": tuple(tensor.shape),
            "typestr": _CODES[tensor.dtype],
            "data": (address, False),
            "version": 3,
        }


def array_over(tensor: Tensor) -> Any:
    """The elements of a contiguous CPU tensor as a NumPy array that shares its memory, both ways.

    Nothing about the tensor or its storage changes. The array keeps the tensor alive, so the memory stays until the
    tensor is resized: use the array at once, and let go of it.

    Args:
        tensor: on the CPU and contiguous, of any real type; bfloat16 comes as its bits, in uint16.

    Returns:
        An array of the tensor's shape.

    Raises:
        GainstageError: memory that NumPy cannot see this way.

    Example:
        >>> x = torch.zeros(3)
        >>> array_over(x)[1] = 5
        >>> x.resize_(2)
        tensor([0., 5.])
    """
    known = tensor.dtype in _TYPES and tensor.is_cpu and tensor.layout is torch.strided and not tensor.is_nested
    if not known or tensor.is_neg() or not tensor.is_contiguous():
        raise GainstageError(
            "expected a contiguous tensor of real numbers on the CPU; got "
            f"{tensor.dtype} on {tensor.device}, layout {tensor.layout}, negated {tensor.is_neg()}. "
            "Write tensor.cpu().contiguous().resolve_neg(), which copies where that is needed."
        )
    if tensor.numel() == 0:  # which may have no memory at all
        return np.empty(tuple(tensor.shape), _TYPES[tensor.dtype])
    address = tensor.data_ptr()
    if not address:
        raise GainstageError(
            f"expected a tensor with memory of its own; got a {type(tensor).__name__} without. Fake and wrapped "
            "tensors hold no numbers that NumPy could see."
        )
    return np.asarray(_Memory(tensor, address))
