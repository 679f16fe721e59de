"""The store: one SQLite file that remembers every trial that is done, whatever happens to the process."""

import csv
import json
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from gainstage._visible import cell, visible
from gainstage.study._errors import StudyError
from gainstage.study._kept import COLUMNS, KEEP, TABLE, VALUES, Kept, Row, digest, intact, row
from gainstage.study._trial import Outcome, Trial, told

APPLICATION = 0x6761696E  # "gain", in the header of the file
PATIENCE = 60.0  # seconds to wait for other writers; a transaction takes milliseconds
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
AGAIN = "Every trial that was kept so far is safe; the same study with the same store goes on from there."


class DamagedTrials(UserWarning):
    """A store holds trials that are not as they were written; they count as not there."""


class Store:
    """Outcomes by trial key, in one SQLite file.

    A trial is in the file once `keep` has returned, and stays there when the process is killed or the power fails
    (write-ahead log, synchronized at each commit). Any number of processes of one machine may use a file at once;
    SQLite's log does not work on network file systems. Workers need no access: outcomes are kept by the process that
    runs the study. Beside `PATH` there are `PATH-wal` and `PATH-shm` while it is open, or after a kill: they belong to
    it and are taken up by whoever opens it next.

    The file is checked as a whole when it is opened, which takes a second for half a million trials; one that SQLite
    finds damaged is refused. Every trial has a digest of its own besides: one that is not as it was written is never
    used. It counts as not there, is told once as a `DamagedTrials` warning, and is replaced when it is computed anew.

    Args:
        path: the file, made where there is none; None keeps trials in memory only.

    Raises:
        StudyError: the file is of another version, damaged, no store, or cannot be written; it is left as it was.

    Example:
        >>> from gainstage.study import Arm, Outcome, Trial
        >>> trial = Trial(Arm(lr=0.1), seed=0, steps=300, looks=20, data="c0ffee")
        >>> with Store() as store:
        ...     store.keep([(trial, Outcome(None, (), 0.95, 0.93, 0.2, 1.5, "alone"))])
        ...     store.known([trial.key])[trial.key].test
        0.93
    """

    FORMAT = 2  # the version of the file

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = RLock()  # notebooks call from several threads
        self._damaged: set[int] = set()
        if self.path is not None:
            _check_file(self.path)
        with self._errors():
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        self._db.text_factory = lambda text: text.decode(errors="backslashreplace")  # a damaged file may hold anything
        try:
            with self._errors():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    @property
    def damaged(self) -> int:
        """How many damaged trials were met so far."""
        return len(self._damaged)

    def known(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of those trials that are there, by key."""
        found = [kept for key in keys for kept in self._kept("WHERE key = ?", key)]
        return {kept.key: Outcome.from_json(kept.outcome) for kept in found}

    def keep(self, done: Iterable[tuple[Trial, Outcome]]) -> None:
        """Write outcomes, all of them or none; a trial that is there already stays as it is, unless it is damaged.

        Raises:
            StudyError: the disk is full or failing, or another process holds the file for more than a minute.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [(trial.key, trial.config, outcome.to_json(), now) for trial, outcome in done]
        with self._errors(), self._transaction():
            self._db.executemany(KEEP, [(*each, digest(*each)) for each in rows])

    def rows(self) -> Iterator[Row]:
        """One flat dictionary a trial, in the order they were kept: same columns, same types in all.

        Nothing is None: a text that is absent is empty, and no clipping is clipping at infinity, so that CSV, pandas
        and Parquet (`pyarrow.Table.from_pylist(list(store.rows()))`) find one type for each column.
        """
        for each, _ in self._read():
            yield each

    def to_csv(self, path: str | Path) -> None:
        """Write `rows` as CSV with a header.

        A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.

        Raises:
            StudyError: the file cannot be written.
        """
        with _writable(path), Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(COLUMNS))
            writer.writeheader()
            writer.writerows({name: cell(value) for name, value in each.items()} for each in self.rows())

    def to_json(self, path: str | Path) -> None:
        """Write `rows` as a JSON list, each with its learning curve; numbers that are not finite become strings.

        Raises:
            StudyError: the file cannot be written.
        """
        rows = [
            {name: told(value) for name, value in each.items()}
            | {"curve": [{name: told(value) for name, value in asdict(look).items()} for look in outcome.curve]}
            for each, outcome in self._read()
        ]
        with _writable(path):
            Path(path).write_text(json.dumps(rows, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def close(self) -> None:
        """Close the file; what was kept stays."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __len__(self) -> int:
        with self._errors():
            return int(self._db.execute("SELECT count(*) FROM trials").fetchone()[0])

    def _read(self) -> Iterator[tuple[Row, Outcome]]:
        for kept in self._kept("ORDER BY rowid"):
            outcome = Outcome.from_json(kept.outcome)
            yield row(kept, outcome), outcome

    def _kept(self, which: str, *given: str) -> list[Kept]:
        """The rows that are as they were written; the first other one that is met is told."""
        with self._errors():
            found = self._db.execute(f"SELECT rowid, {VALUES} FROM trials {which}", given).fetchall()
        read = {rowid: intact(*values) for rowid, *values in found}
        if (damaged := {rowid for rowid, kept in read.items() if kept is None}) and not self._damaged:
            warnings.warn(
                f"the store {self.path} holds trials that are damaged: they are not used, and computed anew",
                DamagedTrials,
                stacklevel=4,
            )
        self._damaged |= damaged
        return [kept for kept in read.values() if kept is not None]

    def _prepare(self) -> None:
        """Make the table where the file is new. Version and table are one transaction, before the log is switched on:
        the header of a file that is not empty always tells what it is."""
        wrong = [said for (said,) in self._db.execute("PRAGMA integrity_check(1)") if said != "ok"]
        wrong += [
            sql for (sql,) in self._db.execute("SELECT sql FROM sqlite_master WHERE type = 'table'") if sql != TABLE
        ]
        if wrong:
            raise StudyError(_said(sqlite3.DatabaseError(visible(str(wrong[0]))), self.path, sqlite3.SQLITE_CORRUPT))
        self._db.create_function("intact", 5, lambda *values: intact(*values) is not None, deterministic=True)
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._db.execute(TABLE)
                self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {Store.FORMAT}")
        _until_free(lambda: self._db.execute("PRAGMA journal_mode = WAL").fetchone())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """SQLite's errors in words."""
        try:
            yield
        except sqlite3.Error as error:
            raise StudyError(_said(error, self.path)) from error
        except UnicodeDecodeError as error:  # SQLite's message quotes what is damaged
            wrong = sqlite3.DatabaseError("its description is no text")
            raise StudyError(_said(wrong, self.path, sqlite3.SQLITE_CORRUPT)) from error


def _check_file(path: Path) -> None:
    """Refuse what is no store of this version by its first bytes, before SQLite may touch it."""
    if path.is_dir():
        raise StudyError(f"{path} is a folder; a store is one file, for instance {path / 'study.sqlite'}.")
    if not path.parent.is_dir():
        raise StudyError(f"there is no folder {path.parent} to make the store {path.name} in. Make it first.")
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"the store {path} cannot be read: {error.strerror}.") from error
    if not head:
        return
    other = "Nothing was changed. Give the study another path."
    if head[:16] != b"SQLite format 3\0" or int.from_bytes(head[68:72], "big") != APPLICATION:
        what = "an SQLite file of another program" if head[:16] == b"SQLite format 3\0" else "not an SQLite file"
        raise StudyError(f"{path} is not a store of gainstage: it is {what}. {other}")
    if (version := int.from_bytes(head[60:64], "big")) != Store.FORMAT:
        raise StudyError(
            f"{path} is a store of format {version}; this version of gainstage reads format {Store.FORMAT}. {other} "
            "The version that wrote it can export it: Store(path).to_csv(...)."
        )


def _said(error: sqlite3.Error, path: Path | None, code: int | None = None) -> str:
    code = code or getattr(error, "sqlite_errorcode", None)
    base = None if code is None else code & 0xFF
    if code in FULL:
        return f"there is no space left for the store {path} ({error}). {AGAIN} Free some space on that disk first."
    if base == sqlite3.SQLITE_READONLY or base == sqlite3.SQLITE_CANTOPEN:
        return (
            f"the store {path} cannot be written ({error}): SQLite needs leave to write the file and to make files in "
            "its folder. Give them, or another path."
        )
    if base == sqlite3.SQLITE_BUSY:
        return f"another process has kept the store {path} locked for {PATIENCE:g} seconds. {AGAIN}"
    if base in DAMAGED:
        return (
            f"the store {path} is damaged: {error}. It was left as it is. Give the study another path, or try: "
            f"sqlite3 {path} .recover | sqlite3 NEW.sqlite"
        )
    return f"the store {path} failed: {error}. {AGAIN}"


def _until_free(act: Any) -> None:
    """Switching the log on does not wait for others by itself."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            act()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)


@contextmanager
def _writable(path: str | Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}. The store is as it was.") from error
