"""Importing the module or file that a TARGET names, and saying in one line why it could not be."""

import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from pathlib import Path
from types import ModuleType

from gainstage.cli._errors import CannotRun, did_you_mean, explain

_FORM = "package.module:factory or path/to/file.py:factory"


def import_target(target: str) -> tuple[ModuleType, str]:
    """Import the part of TARGET before the colon.

    Args:
        target: `package.module:factory` or `path/to/file.py:factory`. The current directory can be imported from, its
            `src` too, and so can the directory of the file, as when Python runs it. A file of a package is imported as
            its module, so that its relative imports are found.

    Returns:
        The module, and the attribute after the colon.

    Raises:
        CannotRun: it is not of this form, not there, not Python, or raises when imported.
    """
    import torch  # noqa: F401  before the user's directories join sys.path: a random.py there must not break torch

    where, colon, attribute = target.rpartition(":")
    is_file = where.endswith(".py") or "/" in where or os.sep in where or Path(where).is_file()
    if not colon or not where or not _dotted(attribute) or not (is_file or _dotted(where)):
        raise CannotRun(f"TARGET {target!r} is not of the form {_FORM}.{_colon_hint(target)}")
    _importable(Path.cwd() / "src")
    _importable(Path.cwd())
    if is_file:
        return _import_file(Path(where)), attribute
    return _import_module(where), attribute


def user_line(error: BaseException) -> str:
    """Where in the user's own code an exception came up: ` (net.py, line 12)`, or nothing."""
    here = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_file() and not any(path.is_relative_to(library) for library in libraries()):
            shown = path.relative_to(here) if path.is_relative_to(here) else Path(path.name)
            return f" ({shown}, line {frame.lineno})"
    return ""


def libraries() -> list[Path]:
    """Directories whose code is not the user's: Python, what is installed, and gainstage itself."""
    paths, torch = sysconfig.get_paths(), sys.modules.get("torch")
    beside_torch = [Path(str(torch.__file__)).parents[1]] if torch is not None else []
    return [Path(paths[k]) for k in ("stdlib", "purelib", "platlib")] + [Path(__file__).parents[1], *beside_torch]


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise CannotRun(_missing_file(path))
    if path.suffix != ".py":
        raise CannotRun(f"{path} is not a Python file: expected a name that ends in .py. TARGET is {_FORM}.")
    if (package := _package_of(path.resolve())) is not None:
        root, name = package
        _importable(root)
        module = _import_module(name)
        if Path(str(module.__file__)).resolve() == path.resolve():  # and not one of that name that is installed
            return module
    _importable(path.resolve().parent)
    known = sys.modules.get(path.stem)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known  # twice in one run is one module, which other processes find by its name
    name = path.stem if path.stem not in sys.modules else f"_gainstage_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None  # holds for every file that ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look modules up by name
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: a script without a main guard must not end the program
        del sys.modules[name]
        raise CannotRun(_import_failed(str(path), error)) from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise CannotRun(_import_failed(name, error)) from error
        near = did_you_mean(name, (p.stem for p in Path.cwd().glob("*.py")))
        raise CannotRun(
            f"there is no module {error.name!r} to import, neither installed nor in the current directory.{near} "
            f"TARGET is {_FORM}."
        ) from None
    except BaseException as error:
        raise CannotRun(_import_failed(name, error)) from error


def _import_failed(what: str, error: BaseException) -> str:
    match error:
        case SyntaxError(lineno=int(line)):
            return f"{what} is not valid Python: {error.msg} (line {line})"
        case SyntaxError() | UnicodeDecodeError():
            return f"{what} is not valid Python: {' '.join(str(error).split())}"
        case SystemExit():
            return f"{what} ends the program when it is imported. Put that part under: if __name__ == '__main__':"
        case _:
            return f"importing {what} raised {explain(error)}{user_line(error)}"


def _missing_file(path: Path) -> str:
    if path.is_dir():
        return f"{path} is a directory. TARGET is {_FORM}."
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}, so no file {path}. TARGET is {_FORM}."
    near = did_you_mean(path.name, (p.name for p in path.parent.glob("*.py")))
    return f"there is no file {path}.{near} TARGET is {_FORM}."


def _dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _colon_hint(target: str) -> str:
    """For a TARGET without a colon: what it would look like with one."""
    if ":" in target:
        return ""
    return f" Write {target}:build if the function that returns the model is called build."


def _package_of(file: Path) -> tuple[Path, str] | None:
    """The directory that a file's package is imported from, and the file's dotted name; None outside of packages."""
    parts, directory = [file.stem], file.parent
    while (directory / "__init__.py").is_file() and directory.name.isidentifier():
        parts.insert(0, directory.name)
        directory = directory.parent
    return (directory, ".".join(parts)) if len(parts) > 1 and file.stem.isidentifier() else None


def _importable(directory: Path) -> None:
    if directory.is_dir() and str(directory) not in sys.path:
        sys.path.insert(0, str(directory))
