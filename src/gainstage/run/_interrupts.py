"""Ctrl-C while something is being put back waits until all of it is."""

import signal
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
_PROTECTED: set[CodeType] = set()


def uninterrupted(function: F) -> F:
    """Mark a function inside which an interrupt has to wait."""
    _PROTECTED.add(function.__code__)
    return function


class Interrupts:
    """While installed, a SIGINT that arrives inside an `uninterrupted` function is kept until `deliver`.

    Whether one is running is read off the stack that the signal came upon, so that there is no moment between entering
    the function and the first thing that it does. Anywhere else the signal goes to whoever handled it before. Outside
    the main thread, which Python hands no signals, there is nothing to do.

    Attributes:
        waiting: whether one has arrived and is kept.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self.waiting = False

    def install(self) -> None:
        """Begin; called inside an `uninterrupted` function."""
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):
                self._before = before
                signal.signal(signal.SIGINT, self._arrives)

    def deliver(self) -> None:
        """End, and hand on what has waited."""
        before, self._before = self._before, None
        if before is None:
            return
        signal.signal(signal.SIGINT, before)
        if self.waiting:
            self.waiting = False
            before(signal.SIGINT, None)  # without a frame: another one around this one is not to keep it

    def _arrives(self, number: int, frame: FrameType | None) -> None:
        below = frame
        while below is not None:
            if below.f_code in _PROTECTED:
                self.waiting = True
                return
            below = below.f_back
        if callable(self._before):
            self._before(number, frame)
