"""Where a pass is: which modules are running, and where it failed."""

import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from gainstage.run import class_name, named_modules


class Modules:
    """The stack of modules that are running, kept by hooks for all modules, so that none is touched."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.thread = model, threading.get_ident()
        self.stack: list[tuple[str, str]] = [("", class_name(model))]
        self.paths = {id(module): (path, type(module).__name__) for path, module in named_modules(model)}
        self.failed: tuple[BaseException, str] | None = None

    @property
    def running(self) -> tuple[str, str]:
        """Path and class name of the innermost module."""
        return self.stack[-1]

    @property
    def path(self) -> str:
        """Path of the innermost module."""
        return self.stack[-1][0]

    @contextmanager
    def hooked(self) -> Iterator[None]:
        """Follow the modules that run in the block."""
        before = register_module_forward_pre_hook(self._enter)
        after = register_module_forward_hook(self._leave, always_call=True)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Using `torch.compile.*when there are global hooks")
                yield
        finally:
            before.remove()
            after.remove()

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        if self.thread != threading.get_ident():
            return
        if id(module) not in self.paths:  # made in this pass, or no part of the model: a loss
            self.paths |= {id(m): (path, type(m).__name__) for path, m in named_modules(self.model)}
        self.stack.append(self.paths.get(id(module), self.stack[-1]))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        if self.thread != threading.get_ident():
            return
        if (error := sys.exc_info()[1]) is not None:
            self.failure(error, self.path)
        self.stack.pop()

    def failure(self, error: BaseException, place: str) -> None:
        """Note where an exception came up; where it goes on to is not told."""
        if self.failed is None or self.failed[0] is not error:
            self.failed = (error, place)

    def place(self, error: BaseException) -> str:
        """Where this exception came up; empty where that is not known."""
        return self.failed[1] if self.failed is not None and self.failed[0] is error else ""
