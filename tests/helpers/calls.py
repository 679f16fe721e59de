"""Functions that tests send to workers, which cannot import them: they travel with their code."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import cloudpickle
import torch

cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Awkward(Exception):
    """Pickles, but cannot be read back."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(first)


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


def numbers(seed: int) -> torch.Tensor:
    """Sums whose last bits depend on how many threads share them."""
    x = torch.randn(400, 400, generator=torch.Generator().manual_seed(seed))
    return (x @ x.T).softmax(1).sum(0)


def raises(error: BaseException) -> None:
    raise error


def raises_awkward() -> None:
    raise Awkward("one", "two")


def raises_locked() -> None:
    raise Locked


def kill_first(marks: Path, name: str, times: int, seconds: float = 0.0) -> str:
    """Kills its worker the first `times` times that it runs."""
    ran = len(list(marks.glob(f"{name}-*")))
    (marks / f"{name}-{ran}").touch()
    if ran < times:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(seconds)
    return name


def innocent(marks: Path, number: int) -> int:
    (marks / f"innocent-{number}-{time.monotonic_ns()}").touch()
    time.sleep(0.02)
    return number


def where(marks: Path | None = None, seconds: float = 0.2) -> str:
    """The id of the Ray node that runs it."""
    import ray

    node = str(ray.get_runtime_context().get_node_id())
    if marks is not None:
        (marks / f"where-{node}-{time.monotonic_ns()}").touch()
    time.sleep(seconds)
    return node


def meet(marks: Path) -> tuple[float, float]:
    """When it began and ended; it waits for a second one that runs at the same time."""
    began = time.monotonic()
    (marks / f"meet-{began}").touch()
    while len(list(marks.glob("meet-*"))) < 2 and time.monotonic() < began + 120:
        time.sleep(0.02)
    time.sleep(0.2)
    return began, time.monotonic()
