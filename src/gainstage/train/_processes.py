"""Several processes that train one model: they ask each other, and one of them writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed as dist

from gainstage.train._errors import TrainError


def running() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if running() > 1 else 0


def gathered(value: Any) -> list[Any]:
    """The value of every process, in their order: the same list in each of them."""
    if running() == 1:
        return [value]
    values: list[Any] = [None] * running()
    dist.all_gather_object(values, value)
    return values


def agreed(value: float | None) -> float | None:
    """The mean over the processes that have a value, the same in each of them; None where none has one."""
    values = [float(v) for v in gathered(None if value is None else float(value)) if v is not None]
    return sum(values) / len(values) if values else None


@contextmanager
def together() -> Iterator[None]:
    """No process goes on before all have finished the block, and if it raises in one it raises in all."""
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    told = gathered(None if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    if failed := [text for text in told if text is not None]:
        raise TrainError(f"another process failed: {failed[0]}")
