"""Compiled code runs as it is written while any watch measures a step."""

import sys
from typing import Any

import torch

_holders: set[int] = set()
_stance: list[Any] = []


def eager(holder: object, on: bool) -> None:
    """Ask for it, or no longer; where nothing was compiled nothing happens, and torch's compiler is not imported.

    Args:
        holder: who asks: several may, in any order.
    """
    if on and "torch._dynamo" in sys.modules:
        if not _stance:
            _stance.append(torch.compiler.set_stance("force_eager"))
            _stance[0].__enter__()
        _holders.add(id(holder))
    elif not on and id(holder) in _holders:
        _holders.discard(id(holder))
        if not _holders and _stance:
            _stance.pop().__exit__(None, None, None)
