"""Torch as it is by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import _disable_current_modes


@contextmanager
def plainly() -> Iterator[None]:
    """Without the modes of whoever called: what is done inside is no part of what they watch."""
    with _disable_current_modes(), torch._C.DisableTorchFunction():
        yield
