"""Workers of a Ray cluster."""

import concurrent.futures
import os
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

from gainstage.study._errors import StudyError
from gainstage.study._executors import RUNS, answer, lost, packed, settle

T = TypeVar("T")

LARGE = 65536  # bytes of a tensor that is sent to the cluster once, not with each call


class RayExecutor(Executor):
    """Runs calls as tasks of a Ray cluster.

    Each runs on one thread. Tensors above 64 kB are put into Ray's object store once, however many calls use them. Ray
    runs a call again whose worker or node is lost, three times in all. Exceptions of a call pass through. Every node
    needs the same gainstage and torch, and the modules that a call's functions are from; functions of a notebook or a
    script travel with their code.

    A Ray that runs already is used and left running. Otherwise one is joined at `address`, or started on this machine
    for as long as the executor lives, bound to 127.0.0.1, without dashboard and without usage statistics.

    Args:
        address: of a cluster, `"auto"` for one that was started on this machine; None is what `RAY_ADDRESS` says, or
            else a Ray of our own.
        num_cpus: that each call takes.
        num_gpus: that each call takes, 0.25 for four calls a GPU.

    Raises:
        StudyError: Ray is not installed, or there is no cluster at `address`.

    Example:
        >>> with RayExecutor() as ray:  # doctest: +SKIP
        ...     ray.submit(pow, 2, 5).result()
        32
    """

    def __init__(self, address: str | None = None, *, num_cpus: float = 1, num_gpus: float = 0) -> None:
        self._ray = _ray()
        self._began = not self._ray.is_initialized()
        if self._began:
            _begin(self._ray, address or os.environ.get("RAY_ADDRESS") or "local")
        self._run = self._ray.remote(
            num_cpus=num_cpus, num_gpus=num_gpus, max_retries=RUNS - 1, retry_exceptions=False
        )(answer)
        self._sent: dict[int, tuple[int, Any]] = {}  # of a tensor's id: its version, and Ray's reference
        self._pending: dict[Future[Any], Any] = {}
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` on the cluster as soon as it has room.

        The future raises what the call raised; `WorkerLost` where its worker or node was lost three times.
        """
        if self._closed:
            raise RuntimeError("this RayExecutor was shut down: make a new one")
        future: Future[T] = Future()
        try:
            call, shared = self._packed((fn, args, kwargs))
        except StudyError as error:
            future.set_exception(error)
            return future
        ref = self._run.remote(call, *shared)
        self._pending[future] = ref
        future.add_done_callback(self._left)
        ref.future().add_done_callback(partial(self._done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Finish the calls and leave the cluster; a Ray that was started here ends.

        Args:
            wait: until the calls are finished. Without, those that are not are cancelled.
            cancel_futures: cancel all calls, also those that run: their workers are killed.
        """
        self._closed = True
        if wait and not cancel_futures:
            concurrent.futures.wait(list(self._pending))
        for future in list(self._pending):
            future.cancel()
        self._sent.clear()
        if self._began:
            self._began = False
            self._ray.shutdown()

    def __exit__(self, kind: Any, error: Any, at: Any) -> None:
        """Wait for all calls; after an exception, Ctrl-C above all, cancel them."""
        self.shutdown(wait=True, cancel_futures=kind is not None)

    def _done(self, future: Future[Any], answered: Future[bytes]) -> None:
        error = answered.exception()
        if not future.set_running_or_notify_cancel():
            return
        if error is None:
            settle(future, answered.result())
        elif isinstance(error, _losses(self._ray)):
            future.set_exception(lost(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"))
        else:
            future.set_exception(getattr(error, "cause", None) or error)

    def _left(self, future: Future[Any]) -> None:
        ref = self._pending.pop(future, None)
        if future.cancelled() and ref is not None and self._ray.is_initialized():
            self._ray.cancel(ref, force=True)

    def _packed(self, call: Any) -> tuple[bytes, list[Any]]:
        """The call with a number in place of each large tensor, and Ray's references to these."""
        shared: dict[int, tuple[int, Any]] = {}

        def number(value: Any) -> int | None:
            if not isinstance(value, torch.Tensor) or value.nbytes < LARGE or value.requires_grad:
                return None
            if id(value) not in shared:
                shared[id(value)] = len(shared), self._put(value)
            return shared[id(value)][0]

        return packed(call, number), [ref for _, ref in shared.values()]

    def _put(self, tensor: torch.Tensor) -> Any:
        key = id(tensor)
        version = tensor._version
        if key not in self._sent or self._sent[key][0] != version:
            ref = self._ray.put(tensor)
            if key not in self._sent:
                weakref.finalize(tensor, self._sent.pop, key, None)
            self._sent[key] = version, ref
        return self._sent[key][1]


def _begin(ray: Any, address: str) -> None:
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    if address != "local":
        try:
            ray.init(address=address, **quiet)
        except Exception as error:
            raise StudyError(
                f"there is no Ray cluster at {address!r} ({type(error).__name__}: {error}). Start one with `ray start "
                "--head`, or leave the address out to run on this machine."
            ) from error
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with loopback():
        ray.init(address="local", _node_ip_address="127.0.0.1", **quiet)


@contextmanager
def loopback() -> Iterator[None]:
    """What Ray starts meanwhile listens on 127.0.0.1 if told so; on Linux it replaces that by the machine's address and
    listens to the whole network, unless a switch is off that it has for other systems."""
    from ray._private import ray_constants

    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def _losses(ray: Any) -> tuple[type[BaseException], ...]:
    """What Ray raises when it gives up on workers and nodes, not on what the call did."""
    names = ("WorkerCrashedError", "NodeDiedError", "OutOfMemoryError", "LocalRayletDiedError", "ObjectLostError")
    return tuple(getattr(ray.exceptions, name) for name in names if hasattr(ray.exceptions, name))


def _ray() -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # it warns otherwise
    try:
        import ray
    except ModuleNotFoundError as error:
        raise StudyError('Ray is not installed: pip install "gainstage[ray]"') from error
    return ray
