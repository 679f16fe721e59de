"""Where in the user's source files a model and its parts are written."""

import ast
import inspect
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gainstage.cli._call import call_of
from gainstage.cli._module import libraries

if TYPE_CHECKING:
    from torch import nn

    from gainstage.report import Place


def module_file(target: str) -> Path | None:
    """The file of the module that TARGET names, once it is imported."""
    module = _module(target)
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def factory_place(target: str) -> "Place | None":
    """The line of TARGET's factory, class or variable."""
    from gainstage.report import Place

    file, name = module_file(target), call_of(target).target.rpartition(":")[2]
    if file is None:
        return None
    value: Any = _module(target)
    for part in name.split("."):
        value = getattr(value, part, None)
    return _defined_at(value) or Place(_shown(file), _assigned_at(file, name))


def places(model: "nn.Module", wheres: Iterable[str]) -> "dict[str, Place]":
    """For every place in the model, the line of the innermost class around it that the user wrote.

    A parameter of an `nn.Linear` is shown at the class that holds the `nn.Linear`; a model of library classes only has
    no line of its own.
    """
    found: dict[str, Place] = {}
    lines: dict[type, Place | None] = {}
    modules = dict(model.named_modules(remove_duplicate=False))
    for where in wheres:
        path = where.partition("/")[0]
        while True:
            if path in modules:
                kind = type(modules[path])
                place = lines[kind] if kind in lines else lines.setdefault(kind, _defined_at(kind))
                if place is not None:
                    found[where] = place
                    break
            if not path:
                break
            path = path.rpartition(".")[0]
    return found


def _module(target: str) -> ModuleType | None:
    where = call_of(target).target.rpartition(":")[0]
    if where in sys.modules:
        return sys.modules[where]
    file = Path(where).resolve()
    of_file = (m for m in list(sys.modules.values()) if getattr(m, "__file__", None))
    return next((m for m in of_file if Path(str(m.__file__)).resolve() == file), None)


def _defined_at(value: Any) -> "Place | None":
    """The line of a function or class in the user's own files."""
    from gainstage.report import Place

    try:
        file = Path(inspect.getsourcefile(value) or "").resolve()
        line = inspect.getsourcelines(value)[1]
    except (TypeError, OSError):
        return None
    if not file.is_file() or any(file.is_relative_to(library) for library in libraries()):
        return None
    return Place(_shown(file), max(line, 1))


def _assigned_at(file: Path, name: str) -> int:
    """The line of `name = ...` at the top of a file; 1 where there is none."""
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError, OSError):
        return 1
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return statement.lineno
    return 1


def _shown(file: Path) -> str:
    """Relative to the current directory where that is above it."""
    here = Path.cwd().resolve()
    return (file.relative_to(here) if file.is_relative_to(here) else file).as_posix()
