"""All of a tensor but its values: memory, shape, version, gradient, hooks, and whether it requires a gradient."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from gainstage.run._bytes import has_data

_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")


class Form:
    """A tensor as it is, to be put back: `.data`, `set_`, `resize_`, `requires_grad_`, `.grad` and hooks undone.

    Attributes:
        alias: another tensor of the same memory and shape.
        grad: the gradient that it holds.
        hooks: its dictionaries of hooks, by attribute.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.leaf = tensor, tensor.is_leaf
        self.kind, self.alias = type(tensor), tensor.detach()
        self.requires_grad, self.grad = tensor.requires_grad, tensor.grad if tensor.is_leaf else None
        self.version = _version(tensor)
        self.hooks: dict[str, Mapping[int, Any]] = {
            name: hooks for name in _HOOKS if (hooks := getattr(tensor, name, None)) is not None
        }
        self.attributes = dict(tensor.__dict__) if tensor.__dict__ else {}

    def put_back(self) -> None:
        """Touch what has changed, and nothing else."""
        tensor = self.tensor
        if not _same_form(tensor, self.alias):
            with self._mode():
                tensor.data = self.alias
        if type(tensor) is not self.kind:
            tensor.__class__ = self.kind  # a lazy parameter that got its shape
        if self.leaf and tensor.is_leaf:
            if tensor.requires_grad != self.requires_grad:
                tensor.requires_grad_(self.requires_grad)
            if tensor.grad is not self.grad:
                tensor.grad = self.grad
        for name in _HOOKS:
            if getattr(tensor, name, None) is not self.hooks.get(name):
                setattr(tensor, name, self.hooks.get(name))
        if tensor.__dict__ and not is_traceable_wrapper_subclass(tensor):
            for added in [key for key in tensor.__dict__ if key not in self.attributes]:
                del tensor.__dict__[added]
            tensor.__dict__.update(self.attributes)
        if self.version is not None and _version(tensor) not in (self.version, None):
            torch._C._autograd._unsafe_set_version_counter((tensor,), (self.version,))

    def _mode(self) -> AbstractContextManager[Any]:
        return torch.inference_mode() if self.tensor.is_inference() else nullcontext()


def _version(tensor: Tensor) -> int | None:
    try:
        return tensor._version
    except RuntimeError:  # inference tensors do not count
        return None


def _same_form(a: Tensor, b: Tensor) -> bool:
    if a.size() != b.size() or a.dtype != b.dtype or a.layout != b.layout or a.device != b.device:
        return False
    if is_traceable_wrapper_subclass(a):
        return True  # its parts are kept one by one
    if a.layout is torch.sparse_coo:
        return a._values().data_ptr() == b._values().data_ptr() and a._indices().data_ptr() == b._indices().data_ptr()
    if a.layout is not torch.strided:
        return a.values().data_ptr() == b.values().data_ptr()
    if not has_data(a) or not has_data(b):
        return has_data(a) == has_data(b)
    same_memory = a.untyped_storage()._cdata == b.untyped_storage()._cdata
    return same_memory and a.storage_offset() == b.storage_offset() and a.stride() == b.stride()
