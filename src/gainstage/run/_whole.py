"""A sharded tensor as one."""

from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """All of a DTensor, gathered from every rank that asks for it at the same time; any other tensor itself."""
    if hasattr(tensor, "trigger_wait"):  # the result of a collective that still runs
        tensor = tensor.trigger_wait()
    if hasattr(tensor, "full_tensor"):
        gathered: Any = tensor.full_tensor()
        return gathered  # type: ignore[no-any-return]
    return tensor


def sharded_like(tensor: Tensor, other: Any) -> Tensor:
    """A whole tensor, which every rank has, placed as `other` is; itself where `other` is no DTensor."""
    if not hasattr(other, "placements") or hasattr(tensor, "placements"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)
