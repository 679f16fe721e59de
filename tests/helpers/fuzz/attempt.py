"""Makes one call in its context, and compares the state of everything before and after."""

import contextlib
import dataclasses
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import torch

from fuzz.calls import Ready, ready
from fuzz.contexts import CONTEXTS
from fuzz.grammar import Case
from fuzz.prepare import Scene
from fuzz.state import Snapshot
from fuzz.world import names, names_differences, world, world_differences

PATIENCE = 30  # seconds


class Hang(BaseException):
    """The case did not end."""


@dataclasses.dataclass
class Attempt:
    """One call: what it returned or raised, and what it left."""

    result: Any = None
    error: BaseException | None = None
    trace: list[str] = dataclasses.field(default_factory=list)


def attempt(case: Case, scene: Scene, made: Ready, lost: frozenset[str] = frozenset()) -> Attempt:
    """Make the call in its context; compare the state of the model around it and the state of the world within.

    Args:
        case, scene, made: what is run.
        lost: beginnings of differences that the model makes for good whoever runs it.
    """
    tried = Attempt()
    roots = {"model": scene.model, "example": scene.example, "target": scene.target, "optimizer": made.optimizer}
    before = Snapshot(**roots, others=made.others)
    inside: list[str] = []

    def call() -> None:
        try:
            tried.result = made.run()
        except Hang:
            raise
        except BaseException as error:
            tried.error = error

    shapeless = lazy_modules(scene)
    _surrounded(case, scene, call, inside)
    starts = case.call in ("initialize", "calibrate") and tried.error is None
    changed = before.differences(
        Snapshot(**roots, others=made.others), may_be_written=writable(scene) if starts else ()
    )
    meant = (*(f"{known}:" for known in lost), *(shapeless if starts else ()))
    tried.trace = [line for line in changed if not line.startswith(meant)] + inside
    return tried


def _watched(call: Callable[[], None], found: list[str]) -> None:
    """Make a call and note what it changes in the world."""
    world_before, names_before = world(), names()
    call()
    found += world_differences(world_before, world())
    found += names_differences(names_before, names())


def lazy_modules(scene: Scene) -> tuple[str, ...]:
    """The places of the modules that a start gives their shapes."""
    lazy = torch.nn.modules.lazy.LazyModuleMixin
    found = [path for path, m in scene.model.named_modules() if isinstance(m, lazy) and m.has_uninitialized_params()]
    return tuple(f"model.{path}{end}" for path in found for end in "/.:")


def writable(scene: Scene) -> set[int]:
    """Identities of the parameters, and addresses of their storages."""
    found = set()
    for p in scene.model.parameters():
        found.add(id(p))
        with contextlib.suppress(RuntimeError, NotImplementedError):
            found.add(p.untyped_storage().data_ptr())
    return found - {0}


def _surrounded(case: Case, scene: Scene, call: Callable[[], None], found: list[str]) -> None:
    """Make the call in its context; the world is looked at within that context."""
    if case.context == "thread":
        in_thread(partial(_watched, call, found))
    elif case.context == "two_threads":
        _watched(partial(_beside, case, call), found)
    elif case.context == "in_except":
        try:
            raise KeyError("the user's own")
        except KeyError:
            _watched(call, found)
    else:
        with CONTEXTS[case.context].around(scene):
            _watched(call, found)


def _beside(case: Case, call: Callable[[], None]) -> None:
    """Make the call while another thread makes the same call on a model that is built alike."""
    with torch.random.fork_rng():
        other = dataclasses.replace(case, fault=None).build()
        beside = ready(case.call, case.step, None, other)
    thread = threading.Thread(target=partial(_ignoring, beside.run), daemon=True)
    thread.start()
    call()
    thread.join(PATIENCE)


def _ignoring(run: Callable[[], Any]) -> None:
    with contextlib.suppress(BaseException):
        run()


def in_thread(call: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if thread.is_alive():
        raise Hang("the thread did not end")
    if failed:
        raise failed[0]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Raise `Hang` in the main thread when the case takes too long."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise Hang(f"{PATIENCE} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@cache
def warm() -> None:
    """Import what a first call imports, so that it is no difference."""
    import torch._dynamo
    import torch._functorch.aot_autograd
    import torch.ao.quantization
    import torch.distributed
    from torch import nn

    import gainstage as gs

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    x, optimizer = torch.randn(8, 4), torch.optim.Adam(model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gs.check(model, x, target=torch.zeros(8, 4), loss=nn.functional.mse_loss, optimizer=optimizer)
        gs.initialize(model, x, calibrate=True)
        gs.record(torch.compile(model, backend="eager"), x)
    assert "torch._dynamo" in sys.modules
