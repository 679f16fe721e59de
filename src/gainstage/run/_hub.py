"""What loops that we did not write do between their forward passes and their steps: backward passes, scalers, steps."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

_LOCK = threading.RLock()
_listeners: list["Listener"] = []
_originals: list[Callable[[], None]] = []


class Listener:
    """What hears of a foreign training loop; every method is called in the thread that does it, and may be left out."""

    def before_backward(self, losses: tuple[Tensor, ...]) -> None:
        """A backward pass of these begins."""

    def after_backward(self, losses: tuple[Tensor, ...]) -> None:
        """It has ended without an exception; all gradients have arrived."""

    def scaled(self, scaler: Any, loss: Tensor, scaled: Tensor) -> None:
        """A gradient scaler has multiplied a loss."""

    def scaler_step(self, scaler: Any, optimizer: Optimizer) -> None:
        """A gradient scaler was asked for a step, which it may leave out."""

    def before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        """An optimizer is about to step; may return other arguments."""

    def after_step(self, optimizer: Optimizer) -> None:
        """An optimizer has made a step."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Tell a listener of every backward pass, scaler and step in the block."""
    close = listen(listener)
    try:
        yield
    finally:
        close()


def listen(listener: Listener) -> Callable[[], None]:
    """The same until the returned function is called; with the last listener the hooks and the wrappers are gone.

    torch has global hooks for optimizers. Of `torch.autograd.backward`, which `Tensor.backward` calls by name, and of
    `GradScaler` there are none: they are wrapped while somebody listens.
    """
    with _LOCK:
        _listeners.append(listener)
        if len(_listeners) == 1:
            _install()

    def close() -> None:
        with _LOCK:
            if listener in _listeners:
                _listeners.remove(listener)
                while not _listeners and _originals:
                    _originals.pop()()

    return close


def _install() -> None:
    scaler: Any = torch.amp.GradScaler
    _wrap(torch.autograd, "backward", _backward)
    _wrap(scaler, "scale", _scale)
    _wrap(scaler, "step", _scaler_step)
    before, after = register_optimizer_step_pre_hook(_before_step), register_optimizer_step_post_hook(_after_step)
    _originals.extend((before.remove, after.remove))


def _wrap(place: Any, name: str, make: Callable[[Any], Any]) -> None:
    original = getattr(place, name)
    wrapper = make(original)

    def put_back() -> None:
        if getattr(place, name) is wrapper:  # else somebody has wrapped ours, which is quiet without listeners
            setattr(place, name, original)

    setattr(place, name, wrapper)
    _originals.append(put_back)


def _backward(original: Any) -> Any:
    @wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
        losses = (tensors,) if isinstance(tensors, Tensor) else tuple(t for t in tensors if isinstance(t, Tensor))
        for listener in tuple(_listeners):
            listener.before_backward(losses)
        result = original(tensors, *args, **kwargs)
        for listener in tuple(_listeners):
            listener.after_backward(losses)
        return result

    return backward


def _scale(original: Any) -> Any:
    @wraps(original)
    def scale(self: Any, outputs: Any) -> Any:
        result = original(self, outputs)
        if isinstance(outputs, Tensor):
            for listener in tuple(_listeners):
                listener.scaled(self, outputs, result)
        return result

    return scale


def _scaler_step(original: Any) -> Any:
    @wraps(original)
    def step(self: Any, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        for listener in tuple(_listeners):
            listener.scaler_step(self, optimizer)
        return original(self, optimizer, *args, **kwargs)

    return step


def _before_step(optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
    changed = None
    for listener in tuple(_listeners):
        given = changed or (args, kwargs)
        changed = listener.before_step(optimizer, *given) or changed
    return changed


def _after_step(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
    for listener in tuple(_listeners):
        listener.after_step(optimizer)
