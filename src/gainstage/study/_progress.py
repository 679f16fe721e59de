"""How far a study is: counted over its stages, and shown with the time that is left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

EVERY = 30  # seconds between lines where standard error is no terminal


@dataclass(frozen=True)
class Progress:
    """What `on_done` is told before the first and after every task of a stage.

    Attributes:
        stage: `"tuning"` or `"trials"`.
        done: trials of this stage that are done, with those that the store had.
        total: trials of this stage.
        known: trials of this stage that the store had.
    """

    stage: str
    done: int
    total: int
    known: int


class Tally:
    """Counts the trials of all batches: rates are tuned in up to three of them, then the reported trials follow.

    Args:
        reported: number of reported trials, which are known to come.
    """

    def __init__(self, reported: int) -> None:
        self._reported = reported
        self._batches: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
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
def show_progress(tally: Tally) -> Iterator[Callable[[Progress], None]]:
    """Show progress on standard error while the block runs: a bar on a terminal, now and then a line elsewhere.

    Yields:
        A function for `Study.run(on_done=...)`.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(tally)
        return
    from rich import progress as rich
    from rich.progress import TextColumn

    columns = (
        TextColumn("{task.description}"), rich.BarColumn(), rich.MofNCompleteColumn(),
        TextColumn("{task.fields[known]}"), rich.TimeElapsedColumn(), TextColumn("left"), rich.TimeRemainingColumn(),
    )  # fmt: skip
    with rich.Progress(*columns, console=console, transient=True, speed_estimate_period=3600) as bar:
        task = bar.add_task("tuning", total=None, known="")

        def told(progress: Progress) -> None:
            tally(progress)
            known = f"({tally.known} known)" if tally.known else ""
            bar.update(task, description=tally.stage, completed=tally.done, total=tally.total, known=known)

        yield told


def _lines(tally: Tally) -> Callable[[Progress], None]:
    began = last = time.monotonic()

    def told(progress: Progress) -> None:
        nonlocal last
        tally(progress)
        now = time.monotonic()
        if now - last < EVERY or tally.done == tally.total:
            return
        last, new = now, tally.done - tally.known
        left = f", about {(now - began) / new * (tally.total - tally.done) / 60:.0f} min left" if new else ""
        print(f"gainstage: {tally.stage}, {tally.done} of {tally.total} trials{left}", file=sys.stderr, flush=True)

    return told
