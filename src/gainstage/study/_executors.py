"""How a call travels to a worker and back; and the executor that needs no worker."""

import pickle
import traceback
from collections.abc import Callable
from concurrent.futures import Executor, Future
from io import BytesIO
from typing import Any, TypeVar

import torch

from gainstage.study._errors import StudyError

T = TypeVar("T")

RUNS = 3  # how often a call is run at most, where its worker is lost each time


class WorkerLost(StudyError):
    """A call lost its worker each time it was run."""


class Serial(Executor):
    """Runs every call where it is submitted: in this process and thread, one after the other.

    Example:
        >>> Serial().submit(pow, 2, 5).result()
        32
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` now; the future that is returned is done, with its result or its exception."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def lost(why: str) -> WorkerLost:
    """The error of a call that was given up."""
    return WorkerLost(
        f"a call lost its worker {RUNS} times and was given up ({why}). If memory ran out, use fewer workers, smaller "
        "networks or smaller batches; otherwise run it with Serial() to see what crashes. What is done is kept."
    )


def packed(call: Any, number: Callable[[Any], int | None] = lambda value: None) -> bytes:
    """Pickled by cloudpickle: functions of notebooks and scripts travel with their code, those of modules by name.

    Args:
        call: function, arguments and keyword arguments.
        number: of a value that travels on its own, as one of `shared` of `answer`; None for all others.

    Raises:
        StudyError: cloudpickle is not installed, or something in it cannot be pickled.
    """
    cloudpickle = _cloudpickle()

    class Pickler(cloudpickle.Pickler):  # type: ignore[name-defined, misc]
        def persistent_id(self, value: Any) -> int | None:
            return number(value)

    file = BytesIO()
    try:
        Pickler(file).dump(call)
    except Exception as error:
        raise StudyError(
            f"a call cannot be sent to a worker: {type(error).__name__}: {error}. Let the function make what it needs "
            "(a lock, a generator, a connection) instead of carrying it, or use Serial()."
        ) from error
    return file.getvalue()


def answer(call: bytes, *shared: Any) -> bytes:
    """Run a packed call, in a worker, on one thread. What comes back is bytes in any case, so that nothing that the
    call returns or raises can break what carries it."""
    torch.set_num_threads(1)
    try:
        fn, args, kwargs = _Unpickler(BytesIO(call), shared).load()
        return pickle.dumps((True, _cloudpickle().dumps(fn(*args, **kwargs)), ""))
    except BaseException as error:
        story = "".join(traceback.format_exception(error))
        try:
            return pickle.dumps((False, _cloudpickle().dumps(error), story))
        except Exception:
            return pickle.dumps((False, None, story))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BytesIO, shared: tuple[Any, ...]) -> None:
        super().__init__(file)
        self.shared = shared

    def persistent_load(self, number: int) -> Any:
        return self.shared[number]


def settle(future: Future[Any], answered: bytes) -> None:
    """Give a future what `answer` brought: the result, or the exception itself with the worker's traceback as note."""
    fine, content, story = pickle.loads(answered)
    try:
        value = pickle.loads(content)
    except Exception as unread:
        fine, value = False, StudyError(f"a call {_end(story)}" if story else f"a result cannot be read: {unread!r}")
    if fine:
        future.set_result(value)
        return
    if story:
        value.add_note("in the worker:\n" + story.rstrip())
    future.set_exception(value)


def _end(story: str) -> str:
    return f"raised an exception that does not travel: {story.strip().splitlines()[-1]}"


def _cloudpickle() -> Any:
    try:
        import cloudpickle
    except ModuleNotFoundError as error:
        raise StudyError('workers need cloudpickle: pip install "gainstage[study]", or use Serial()') from error
    return cloudpickle
