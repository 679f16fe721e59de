"""A fixed random state for a block."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python, NumPy and torch for the block; afterwards all are as they were, also when it raises."""
    undo = chance()
    try:
        seed_all(seed)
        yield
    finally:
        for put_back in undo:
            put_back()


def chance() -> list[Callable[[], object]]:
    """The random states of Python, NumPy, the CPU and every initialized accelerator, each as what puts it back."""
    undo: list[Callable[[], object]] = [
        partial(random.setstate, random.getstate()),
        partial(np.random.set_state, np.random.get_state()),
        partial(torch.default_generator.set_state, torch.default_generator.get_state()),
    ]
    for room in (torch.cuda, getattr(torch, "xpu", None)):
        if room is not None and room.is_initialized():
            for device in range(room.device_count()):
                undo.append(partial(room.set_rng_state, room.get_rng_state(device), device))
    return undo


def seed_all(seed: int) -> None:
    """Seed Python, NumPy and torch."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)
