"""A sharded tensor as one."""

from typing import Any

import torch
from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a DTensor, gathered from every rank that asks for it at the same time; any other tensor itself."""
    if hasattr(tensor, "trigger_wait"):  # the result of a collective that still runs
        tensor = tensor.trigger_wait()
    if hasattr(tensor, "full_tensor"):
        gathered: Any = tensor.full_tensor()
        return gathered  # type: ignore[no-any-return]
    return tensor


def dense(tensor: Tensor) -> Tensor:
    """All of a tensor as one with every entry, however it is sharded or stored."""
    tensor = whole(tensor)
    tensor = tensor if tensor.layout is torch.strided else tensor.to_dense()
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor  # float8 has no arithmetic


def sharded_like(tensor: Tensor, other: Any) -> Tensor:
    """A whole tensor, which every rank has, placed as `other` is; itself where `other` is no DTensor."""
    if not hasattr(other, "placements") or hasattr(tensor, "placements"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
