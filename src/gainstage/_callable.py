"""Rooms that are named like their main function: `gs.check(model, x)` and `from gainstage.check import Finding`."""

import sys
from collections.abc import Callable
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Any


def make_callable(module_name: str, function: Callable[..., Any]) -> None:
    """Let the package `module_name` be called like its main function, with that function's help and signature."""

    class CallableModule(ModuleType):
        __call__ = staticmethod(function)
        __signature__ = signature(function)

        def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
            """By its name, as other modules: functions of scripts that use it go to worker processes."""
            return import_module, (module_name,)

    module = sys.modules[module_name]
    module.__class__ = CallableModule
    module.__doc__ = function.__doc__
