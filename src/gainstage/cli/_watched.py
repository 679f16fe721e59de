"""A script that goes on after its check, watched: every model that its optimizers train."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gainstage.cli._errors import CLEAN, FINDINGS, CannotRun
from gainstage.cli._script import execute, speaks, unseen
from gainstage.cli._terminal import note, say, wants_color

if TYPE_CHECKING:
    from gainstage.run import Subject, capture
    from gainstage.signal import Tape
    from gainstage.watch import Watch


class Followed(AbstractContextManager["Followed"]):
    """A capture until its first steps are seen, then a watch of each model that was.

    Attributes:
        watches: one a pair.
        code: of the check.
    """

    def __init__(self, report: Callable[["capture"], int], every: int, record: Path | None) -> None:
        from gainstage.adapters import finders
        from gainstage.run import capture

        self.seen = capture(1, finders=finders(), on_complete=self._complete)
        self.watches: list[Watch] = []
        self.code = CLEAN
        self._report, self._every, self._record, self._out = report, every, record, sys.stdout
        self.counts, self.done = self.seen.counts, False

    def __enter__(self) -> "Followed":
        self.seen.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.seen.leave()
        for watch in self.watches:
            watch.close()

    def _complete(self) -> None:
        """The first steps were seen: check, and go on under watch."""
        from gainstage.watch import JSONL, Live, Watch

        self.done = True
        with redirect_stdout(self._out):
            self.code = self._report(self.seen)
        self.seen.leave()
        for number, pair in enumerate(self.seen.pairs):
            if pair.module is None or pair.optimizer is None:
                continue
            sinks: list[Any] = [Live()] if speaks() else []
            if self._record is not None and speaks():
                path = self._record.with_stem(f"{self._record.stem}_{number}") if number else self._record
                sinks.append(JSONL(path))
            self.watches.append(
                Watch(pair.module, pair.optimizer, every=self._every, sinks=sinks, start=_tape(pair.subject))
            )


def _tape(subject: "Subject | None") -> "Tape | None":
    """The start of what is watched; None where it cannot be run by itself."""
    from gainstage.errors import GainstageError
    from gainstage.signal import record

    if subject is None:
        return None
    try:
        return record(subject.model, subject.example, target=subject.target, loss=subject.loss)
    except GainstageError:
        return None


def execute_watched(
    argv: list[str],
    as_module: bool,
    report: Callable[["capture"], int],
    *,
    every: int,
    record: Path | None,
    patience: float,
) -> int:
    """Run a script to its own end, checked at its first step and watched from there on; the exit code."""
    from gainstage.report import text

    inside = Followed(report, every, record)
    ended = execute(argv, as_module, inside, patience)
    if not inside.done:
        raise CannotRun(unseen(argv[0], ended, inside.seen, patience))
    ok = inside.code == CLEAN
    for watch in inside.watches:
        found = watch.report
        ok = ok and found.ok
        if not speaks():
            continue
        say(f"\nwatched for {watch.step} steps\n")
        say(text(found, color=wants_color()).replace("Checked ", "Watched "), styled=True)
    if ended.how == "raised":
        note(f"the script itself raised {ended.why}")
    return CLEAN if ok else FINDINGS
