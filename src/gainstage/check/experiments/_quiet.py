"""Run a model with dropout switched off, also where it is a functional call."""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from gainstage.signal import op_name, ops, unchecked

_OFF = {
    getattr(room, name + suffix)
    for room in (torch, F)
    for name in ops.names("dropout") - {"native_dropout"}
    for suffix in ("", "_")
    if hasattr(room, name + suffix)
}


@lru_cache
def _recurrent(func: Any) -> bool:
    return ops.named(op_name(func)).kind == "recurrent"


class Quiet(TorchFunctionMode):
    """Every dropout returns its input: its noise would mask symmetry and give equal samples unequal outputs.

    It returns a view of it, so that the dropout stands on the tape with its rate.

    Attributes:
        used: whether anything was switched off.
    """

    def __init__(self) -> None:
        super().__init__()
        self.used = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _OFF:
            self.used = True
            x = args[0] if args else kwargs["input"]
            return x.view_as(x) if x.layout is torch.strided and not x.is_nested else x
        if func is F.multi_head_attention_forward:  # its dropout is inside
            with self:
                return unchecked(func)(*args, **kwargs)
        if _recurrent(func) and any(type(arg) is float and arg for arg in args):  # dropout between layers
            self.used, args = True, tuple(0.0 if type(arg) is float else arg for arg in args)
        if func is F.scaled_dot_product_attention:
            if len(args) > 4 and args[4]:
                self.used, args = True, (*args[:4], 0.0, *args[5:])
            elif kwargs.get("dropout_p"):
                self.used, kwargs = True, {**kwargs, "dropout_p": 0.0}
        return func(*args, **kwargs)
