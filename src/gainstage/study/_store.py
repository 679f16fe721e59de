"""The store: one SQLite file that remembers every trial that is done, whatever happens to the process."""

import csv
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any, Self

from gainstage.study._errors import StudyError
from gainstage.study._trial import Outcome, Trial, told

Row = dict[str, str | int | float | bool]

APPLICATION, FORMAT = 0x6761696E, 1  # "gain", in the header of the file; the version of what is described below
TABLE = (
    "CREATE TABLE trials (key TEXT NOT NULL PRIMARY KEY, config TEXT NOT NULL, outcome TEXT NOT NULL,"
    " created TEXT NOT NULL)"
)
PATIENCE = 60.0  # seconds to wait for other writers; a transaction takes milliseconds
FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
AGAIN = "Every trial that was kept so far is safe; the same study with the same store goes on from there."


class Store:
    """Outcomes by trial key, in one SQLite file.

    A trial is in the file once `keep` has returned, and stays there when the process is killed or the power fails
    (write-ahead log, synchronized at each commit). Any number of processes of one machine may use a file at once;
    SQLite's log does not work on network file systems. Workers need no access: outcomes are kept by the process that
    runs the study. Beside `PATH` there are `PATH-wal` and `PATH-shm` while it is open, or after a kill: they belong to
    it and are taken up by whoever opens it next.

    Args:
        path: the file, made where there is none; None keeps trials in memory only.

    Raises:
        StudyError: the file is of another version, is no store, or cannot be written; it is left as it was.

    Example:
        >>> from gainstage.study import Arm, Outcome, Trial
        >>> trial = Trial(Arm(lr=0.1), seed=0, steps=300, looks=20, data="c0ffee")
        >>> with Store() as store:
        ...     store.keep([(trial, Outcome(None, (), 0.95, 0.93, 0.2, 1.5, "alone"))])
        ...     store.known([trial.key])[trial.key].test
        0.93
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = RLock()  # notebooks call from several threads
        if self.path is not None:
            _check_file(self.path)
        with self._errors():
            self._db = sqlite3.connect(
                self.path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
        try:
            with self._errors():
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def known(self, keys: Iterable[str]) -> dict[str, Outcome]:
        """The outcomes of those trials that are there, by key."""
        found = {}
        with self._errors():
            for key in keys:
                if row := self._db.execute("SELECT outcome FROM trials WHERE key = ?", (key,)).fetchone():
                    found[key] = Outcome.from_json(row[0])
        return found

    def keep(self, done: Iterable[tuple[Trial, Outcome]]) -> None:
        """Write outcomes, all of them or none; a trial that is there already stays as it is.

        Raises:
            StudyError: the disk is full or failing, or another process holds the file for more than a minute.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [(trial.key, trial.config, outcome.to_json(), now) for trial, outcome in done]
        with self._errors(), self._transaction():
            self._db.executemany("INSERT OR IGNORE INTO trials VALUES (?, ?, ?, ?)", rows)

    def rows(self) -> Iterator[Row]:
        """One flat dictionary a trial, in the order they were kept: same columns, same types in all.

        Nothing is None: a text that is absent is empty, and no clipping is clipping at infinity, so that CSV, pandas
        and Parquet (`pyarrow.Table.from_pylist(list(store.rows()))`) find one type for each column.
        """
        for row, _ in self._read():
            yield row

    def to_csv(self, path: str | Path) -> None:
        """Write `rows` as CSV with a header.

        Raises:
            StudyError: the file cannot be written.
        """
        with _writable(path), Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(COLUMNS))
            writer.writeheader()
            writer.writerows(self.rows())

    def to_json(self, path: str | Path) -> None:
        """Write `rows` as a JSON list, each with its learning curve; numbers that are not finite become strings.

        Raises:
            StudyError: the file cannot be written.
        """
        rows = [
            {name: told(value) for name, value in row.items()}
            | {"curve": [{name: told(value) for name, value in asdict(look).items()} for look in outcome.curve]}
            for row, outcome in self._read()
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
        with self._errors():
            found = self._db.execute("SELECT key, config, outcome, created FROM trials ORDER BY rowid").fetchall()
        for key, config, text, created in found:
            outcome = Outcome.from_json(text)
            yield _row(key, json.loads(config), outcome, created), outcome

    def _prepare(self) -> None:
        """Make the table where the file is new. Version and table are one transaction, before the log is switched on:
        the header of a file that is not empty always tells what it is."""
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                self._db.execute(TABLE)
                self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {FORMAT}")
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
    if (version := int.from_bytes(head[60:64], "big")) != FORMAT:
        raise StudyError(
            f"{path} is a store of format {version}; this version of gainstage reads format {FORMAT}. {other} "
            "The version that wrote it can export it: Store(path).to_csv(...)."
        )


def _said(error: sqlite3.Error, path: Path | None) -> str:
    code = getattr(error, "sqlite_errorcode", None)
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
    return f"the store {path} failed: {error}. {AGAIN if base != sqlite3.SQLITE_CORRUPT else 'The file is damaged.'}"


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


ARM: dict[str, type] = {
    "model": str, "init": str, "norm": str, "activation": str, "depth": int, "width": int, "residual": bool,
    "dropout": float, "dropout_kind": str, "mixup": float, "cutmix": float, "weight_decay": float,
    "label_smoothing": float, "optimizer": str, "batch_size": int, "lr": float, "clip": float, "options": str,
}  # fmt: skip
TRIAL: dict[str, type] = {"seed": int, "steps": int, "looks": int, "data": str, "device": str, "code": str}
OUTCOME: dict[str, type] = {
    "test": float, "validation": float, "loss": float, "area": float, "failed": str, "seconds": float, "engine": str,
}  # fmt: skip
COLUMNS: dict[str, type] = ARM | TRIAL | OUTCOME | {"key": str, "created": str}


def _row(key: str, config: dict[str, Any], outcome: Outcome, created: str) -> Row:
    arm = config["arm"]
    arm |= {"options": json.dumps(arm["options"], sort_keys=True)}
    arm |= {"clip": float("inf") if arm["clip"] is None else arm["clip"]}
    values = arm | config | {name: getattr(outcome, name) for name in OUTCOME} | {"key": key, "created": created}
    return {name: kind("" if values[name] is None else values[name]) for name, kind in COLUMNS.items()}
