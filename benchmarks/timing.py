"""Times of several functions on the same machine at the same time."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any


def in_turn(runs: int, *functions: Callable[[], Any]) -> list[float]:
    """Median seconds of each function; called in turn, so that a noisy neighbour slows all alike."""
    for function in functions:
        function()
    times = [[seconds(function) for function in functions] for _ in range(runs)]
    return [median(column) for column in zip(*times, strict=True)]


def seconds(function: Callable[[], Any]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
