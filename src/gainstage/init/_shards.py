"""Where a DTensor's shard lies in the whole parameter."""

from typing import Any

from torch import Tensor

from ._errors import CannotFill
from ._numbers import shown


def local_box(tensor: Any, name: str) -> tuple[Tensor, tuple[int, ...]]:
    """The local tensor of a DTensor and the index of its first element in every global axis.

    Raises:
        CannotFill: a `Partial` placement, whose sum over ranks has no elements of its own.
    """
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    if any(placement.is_partial() for placement in tensor.placements):
        raise CannotFill(
            f"{shown(name)} is a DTensor of pending sums ({tensor.placements}), which no rank can fill alone. "
            "Redistribute it to Shard or Replicate first."
        )
    local = tensor.to_local()
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    if tuple(shape) != tuple(local.shape):
        raise CannotFill(
            f"{shown(name)} has a local shard of shape {tuple(local.shape)} where {tuple(shape)} was expected."
        )
    return local, tuple(offset)
