"""What `gainstage compare` needs besides a study: the file, the models it names, a store, an executor."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gainstage.cli._errors import CannotRun, did_you_mean
from gainstage.cli._files import read_text
from gainstage.cli._module import import_target
from gainstage.cli._target import attribute_of

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gainstage.study import Study


def study_from(file: Path) -> "Study":
    """The study that a file in TOML describes; models in it are found from the file's directory.

    Raises:
        GainstageError: it cannot be read, or does not describe a study.
    """
    from gainstage.study import study_of

    def factory(target: str) -> Callable[..., Any]:
        where, colon, name = target.rpartition(":")
        if colon and (where.endswith(".py") or "/" in where):
            target = f"{file.parent / where}:{name}"
        module, attribute = import_target(target)
        found: Callable[..., Any] = attribute_of(module, attribute, target)
        return found

    if not file.is_file():
        near = did_you_mean(file.name, (path.name for path in file.parent.glob("*.toml")))
        raise CannotRun(f"there is no file {file}.{near} gainstage compare --help shows what to write into one.")
    return study_of(read_text(file), file=str(file), factory=factory)


def default_store() -> Path:
    """The user's own store, in the directory for caches.

    Raises:
        CannotRun: the directory cannot be made.
    """
    from gainstage.study import Store  # a file of an older format stays beside this one

    home = os.environ.get("XDG_CACHE_HOME", "")  # to be ignored where it is not absolute, says its specification
    folder = (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "gainstage"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotRun(f"cannot make {folder} for the store ({error.strerror}). Name a file with --store.") from error
    return folder / f"studies-{Store.FORMAT}.sqlite"


def executor_of(kind: str, workers: int | None) -> "AbstractContextManager[Executor]":
    """The executor by its name.

    Raises:
        GainstageError: what it needs is not installed.
    """
    if kind == "serial":
        from gainstage.study import Serial

        return Serial()
    if kind == "ray":
        from gainstage.study import RayExecutor

        return RayExecutor()
    from gainstage.study import Pool

    return Pool(workers)
