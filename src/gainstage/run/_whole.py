"""A sharded tensor as one."""

from typing import Any

import torch
from torch import Tensor, nn


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
    return numbers(tensor if tensor.layout is torch.strided else tensor.to_dense())


def numbers(tensor: Tensor) -> Tensor:
    """A tensor that can be computed with: float8, which has no arithmetic, as float32."""
    return tensor.float() if tensor.is_floating_point() and tensor.itemsize == 1 else tensor


def real(tensor: Tensor) -> Tensor:
    """A tensor as float32 or float64, to measure it: a complex entry as two, low precision raised."""
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def sharded_like(tensor: Tensor, other: Any) -> Tensor:
    """A whole tensor, which every rank has, placed as `other` is; itself where `other` is no DTensor."""
    if not hasattr(other, "placements") or hasattr(tensor, "placements"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


def replicated_like(tensor: Tensor, other: Any) -> Tensor:
    """A whole tensor, which every rank has, on the devices of `other`, to compute with it; see `sharded_like`."""
    if not hasattr(other, "placements"):
        return tensor
    from torch.distributed.tensor import DTensor, Replicate

    mesh = other.device_mesh
    return DTensor.from_local(tensor, mesh, [Replicate()] * mesh.ndim, run_check=False)


def over_ranks(value: float, model: nn.Module, parameter: Any) -> float:
    """The mean of a number over the ranks that train one parameter, each of which may have a batch of its own."""
    groups = [m.process_group for m in model.modules() if isinstance(m, nn.parallel.DistributedDataParallel)][:1]
    if hasattr(parameter, "device_mesh"):
        groups = parameter.device_mesh.get_all_groups()
    for group in groups:
        total = torch.tensor(value, dtype=torch.float64, device=parameter.device)
        torch.distributed.all_reduce(total, group=group)
        value = total.item() / group.size()
    return value
