"""What every public call that runs foreign code does around its work: our own tensors are real, and nobody exits."""

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn.utils import parametrize

from gainstage.errors import ForwardError
from gainstage.run._bytes import has_data

P = ParamSpec("P")
R = TypeVar("R")
ONE_AT_A_TIME = threading.RLock()  # the global random states and a model's attributes are shared between threads
_abroad: ContextVar[tuple[AbstractContextManager[Any], ...] | None] = ContextVar("_abroad", default=None)
_place: ContextVar[tuple[int, bool]] = ContextVar("_place", default=(0, False))  # depth; whether the code is our own


def entry(function: Callable[P, R]) -> Callable[P, R]:
    """A function that people call: it makes its own tensors on the CPU, and is not ended by the model that it runs.

    Default device and fake mode of the caller hold where the caller's code runs (`abroad`), and nowhere else; the fake
    mode only where the model is fake too, as a real one has numbers to look at. A model that ends the program
    (`sys.exit`) ends with a `ForwardError`; Ctrl-C stays Ctrl-C. A model may call it again; a second thread waits.

    Example:
        >>> make = entry(lambda: torch.zeros(2))
        >>> with torch.device("meta"):
        ...     make().device, torch.zeros(2).device
        (device(type='cpu'), device(type='meta'))
    """

    @functools.wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        if _place.get()[1]:
            return function(*args, **kwargs)
        try:
            with _home(args[0] if args else kwargs.get("model")):
                return function(*args, **kwargs)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise ForwardError(f"the model raised {type(error).__name__}: {error}, which ends the program") from error

    return inside


@contextmanager
def _home(model: Any) -> Iterator[None]:
    device = torch.get_default_device()
    fake: Any = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
    usual = device.type == "cpu" and fake is None
    pretends = fake is not None and not _has_numbers(model)
    computed = dict(parametrize._cache)  # of `parametrize.cached()`, to which every look at a weight adds
    token = _abroad.set(() if usual else (*([fake] if pretends else []), device))
    try:
        with ONE_AT_A_TIME, ExitStack() as stack, _inside(ours=True):
            if not usual:
                stack.enter_context(unset_fake_temporarily())
                stack.enter_context(torch.device("cpu"))
            yield
    finally:
        _abroad.reset(token)
        parametrize._cache.clear()
        parametrize._cache.update(computed)


def _has_numbers(model: Any) -> bool:
    parameters = list(model.parameters()) if isinstance(model, nn.Module) else []
    return bool(parameters) and all(has_data(p) for p in parameters)


@contextmanager
def abroad() -> Iterator[None]:
    """Around code of the user's: default device and fake mode are those that `entry` was called under."""
    with ExitStack() as stack, _inside(ours=False):
        for context in _abroad.get() or ():
            stack.enter_context(context)
        yield


def depth() -> int:
    """How deep the calls of ours and the code of the user's are nested that call each other now."""
    return _place.get()[0]


@contextmanager
def _inside(ours: bool) -> Iterator[None]:
    token = _place.set((depth() + 1, ours))
    try:
        yield
    finally:
        _place.reset(token)
