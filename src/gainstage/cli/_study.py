"""What `gainstage compare` needs besides a study: the file, the models it names, a store, an executor, progress."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gainstage.cli._errors import CannotRun, did_you_mean
from gainstage.cli._files import read_text
from gainstage.cli._module import import_target
from gainstage.cli._target import attribute_of
from gainstage.cli._terminal import note

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gainstage.study import Progress, Study

EVERY = 30  # seconds between lines of progress where standard error is no terminal


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


class Tally:
    """Counts the trials of all batches: rates are tuned in up to three of them, then the reported trials follow.

    Args:
        reported: number of reported trials, which are known to come.
    """

    def __init__(self, reported: int) -> None:
        self._reported = reported
        self._batches: list[Progress] = []

    def __call__(self, progress: "Progress") -> None:
        """What the study is told after every task; a batch begins where nothing but what the store had is done."""
        if self._batches and progress.done > progress.known:
            self._batches[-1] = progress
        else:
            self._batches.append(progress)

    @property
    def stage(self) -> str:
        """What is computed now."""
        return "tuning" if not self._batches or self._batches[-1].stage == "tuning" else "training"

    @property
    def done(self) -> int:
        """Trials that are done or were known."""
        return sum(batch.done for batch in self._batches)

    @property
    def known(self) -> int:
        """Trials that the store had."""
        return sum(batch.known for batch in self._batches)

    @property
    def total(self) -> int:
        """All trials so far, and the reported ones where they have not begun."""
        begun = any(batch.stage != "tuning" for batch in self._batches)
        return sum(batch.total for batch in self._batches) + (0 if begun else self._reported)


@contextmanager
def shown(tally: Tally) -> "Iterator[Callable[[Progress], None]]":
    """Show progress on standard error while the block runs: a bar on a terminal, now and then a line elsewhere.

    Yields:
        A function for `Study.run(on_done=...)`.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(tally)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[known]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True, speed_estimate_period=3600) as bar:
        task = bar.add_task("tuning", total=None, known="")

        def told(progress: "Any") -> None:
            tally(progress)
            known = f"({tally.known} known)" if tally.known else ""
            bar.update(task, description=tally.stage, completed=tally.done, total=tally.total, known=known)

        yield told


def _lines(tally: Tally) -> "Callable[[Progress], None]":
    began = last = time.monotonic()

    def told(progress: "Progress") -> None:
        nonlocal last
        tally(progress)
        now = time.monotonic()
        if now - last < EVERY or tally.done == tally.total:
            return
        last, new = now, tally.done - tally.known
        left = f", about {(now - began) / new * (tally.total - tally.done) / 60:.0f} min left" if new else ""
        note(f"{tally.stage}, {tally.done} of {tally.total} trials{left}")

    return told
