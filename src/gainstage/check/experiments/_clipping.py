"""Hear when a training loop clips its gradients."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def heard_clipping(tell: Callable[[float], None]) -> Iterator[None]:
    """Inside, `torch.nn.utils.clip_grad_norm_` first tells its limit, and clips as before.

    What was imported by its name before is not heard.
    """
    rooms = (torch.nn.utils, torch.nn.utils.clip_grad)
    original = torch.nn.utils.clip_grad_norm_

    def heard(parameters: Any, max_norm: float, *args: Any, **kwargs: Any) -> Any:
        tell(float(max_norm))
        return original(parameters, max_norm, *args, **kwargs)

    try:
        for room in rooms:
            vars(room)["clip_grad_norm_"] = heard
        yield
    finally:
        for room in rooms:
            vars(room)["clip_grad_norm_"] = original
