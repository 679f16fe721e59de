"""Worker processes on this machine; a call whose worker is lost runs again, and drags no other one down."""

import concurrent.futures
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from types import TracebackType
from typing import Any, TypeVar

from gainstage.study._errors import StudyError
from gainstage.study._executors import RUNS, answer, lost, packed, settle

T = TypeVar("T")

ENV = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ENV["LOKY_MAX_MEMORY_LEAK_SIZE"] = str(10**15)  # a worker that trains larger networks later has no leak


class Pool(Executor):
    """Worker processes of this machine, each on one thread, so that numbers do not depend on how many cores it has.

    Workers are started by loky, not forked: functions of a notebook or a script travel with their code, and a script
    needs no `if __name__ == "__main__"`. Each imports torch once, which takes a second or two. Exceptions of a call
    pass through. A call that was running when a worker was lost (killed, out of memory, crashed) runs again, alone in a
    worker of its own, so that only the call that is to blame is lost in the end.

    Args:
        workers: how many; by default the cores this process may use, as affinity and cgroup allow.

    Raises:
        StudyError: `workers` is below 1, or loky is not installed.

    Example:
        >>> with Pool(workers=1) as pool:
        ...     pool.submit(pow, 2, 5).result()
        32
    """

    def __init__(self, workers: int | None = None) -> None:
        try:
            import loky
        except ModuleNotFoundError as error:
            raise StudyError('worker processes need loky: pip install "gainstage[study]", or use Serial()') from error
        if workers is not None and workers < 1:
            raise StudyError(f"workers is {workers}: expected 1 or more, or None for one a core.")
        self.workers: int = workers or loky.cpu_count()
        self._lock = threading.RLock()
        self._main = _Lane(self.workers)
        self._alone = _Lane(1)  # for calls that were running when a worker was lost
        self._closed = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` in a worker as soon as one is free.

        The future raises what the call raised; `WorkerLost` where its worker was lost three times.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError("this Pool was shut down: make a new one")
            self._main.waiting.append(_Call((fn, args, kwargs), future))
        self._fill(self._main)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers.

        Args:
            wait: return when they have ended.
            cancel_futures: cancel all calls, also those that run: their workers are killed. Otherwise all are finished.
        """
        lanes = (self._main, self._alone)
        with self._lock:
            self._closed = True
            calls = [call for lane in lanes for call in (*lane.waiting, *lane.running)]
            if cancel_futures:
                for lane in lanes:
                    lane.waiting.clear()
                    lane.running.clear()
        if cancel_futures:
            for call in calls:
                call.cancel()
        elif wait:
            concurrent.futures.wait([call.future for call in calls])
        if cancel_futures or wait or not calls:
            for lane in lanes:
                lane.end(wait=wait, kill=cancel_futures)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Wait for all calls; after an exception, Ctrl-C above all, cancel them and kill the workers."""
        self.shutdown(wait=True, cancel_futures=kind is not None)

    def _fill(self, lane: "_Lane") -> None:
        """Give the lane's free workers their next calls."""
        while call := self._next(lane):
            try:
                work = packed(call.work)
                with self._lock:
                    if call not in lane.running:  # it was cancelled while it was packed
                        continue
                    pool, answered = lane.send(work)
            except Exception as error:
                with self._lock:
                    lane.running.discard(call)
                call.future.set_exception(error)
                continue
            answered.add_done_callback(partial(self._done, lane, pool, call))

    def _next(self, lane: "_Lane") -> "_Call | None":
        with self._lock:
            while lane.waiting and len(lane.running) < lane.workers:
                call = lane.waiting.popleft()
                if call.runs or call.future.set_running_or_notify_cancel():
                    lane.running.add(call)
                    return call
        return None

    def _done(self, lane: "_Lane", pool: Any, call: "_Call", answered: Future[bytes]) -> None:
        error = answered.exception()
        with self._lock:
            if call not in lane.running:
                return
            lane.running.discard(call)
            call.runs += 1
            if crashed := isinstance(error, BrokenProcessPool):
                lane.forget(pool)
                if call.runs < RUNS:
                    self._alone.waiting.append(call)
        if error is None:
            settle(call.future, answered.result())
        elif not crashed:
            call.future.set_exception(error)
        elif call.runs >= RUNS:
            call.future.set_exception(lost(f"{type(error).__name__}: {_first_line(error)}"))
        self._fill(self._alone)
        self._fill(self._main)
        with self._lock:
            busy = any(lane.waiting or lane.running for lane in (self._main, self._alone))
            if self._closed and not busy:
                self._main.end()
                self._alone.end()


@dataclass(eq=False)
class _Call:
    """A call on its way: what to run, whose result it is, and how often it was run."""

    work: tuple[Any, ...]
    future: Future[Any]
    runs: int = 0

    def cancel(self) -> None:
        if not self.future.cancel() and not self.future.done():
            self.future.set_exception(CancelledError())


class _Lane:
    """A pool of loky's, made when it is needed, and the calls for it: no more run than it has workers, so that those
    that were running when it broke are known."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.pool: Any = None
        self.waiting: deque[_Call] = deque()
        self.running: set[_Call] = set()

    def send(self, work: bytes) -> tuple[Any, Future[bytes]]:
        """Hand packed work to the pool; to a new one where the last one broke while it had nothing to do."""
        with _without_interrupt():
            try:
                return self._pool(), self._pool().submit(answer, work)
            except BrokenProcessPool:
                self.pool = None
                return self._pool(), self._pool().submit(answer, work)

    def forget(self, pool: Any) -> None:
        if self.pool is pool:
            self.pool = None

    def end(self, *, wait: bool = False, kill: bool = False) -> None:
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.shutdown(wait=wait, kill_workers=kill)

    def _pool(self) -> Any:
        from loky import ProcessPoolExecutor

        if self.pool is None:
            self.pool = ProcessPoolExecutor(self.workers, initializer=_begin, initargs=(os.getpid(),), env=ENV)
        return self.pool


@contextmanager
def _without_interrupt() -> Iterator[None]:
    """Ctrl-C waits until the block ends, and workers that start in it never get one: it is the parent's to answer."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # now: where it is started within the block, its start ends the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(parent: int) -> None:
    """In a worker: Ctrl-C is the parent's to answer, and a parent that was killed takes its workers along."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "getppid"):
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
