"""The store: what was kept is there, whatever happens; what it does not know it leaves alone."""

import csv
import hashlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest
from torch import nn

from gainstage.study import Arm, Look, Outcome, Store, StudyError, Trial
from gainstage.study import _kept as inside
from gainstage.study._store import DamagedTrials

DONE = Outcome(None, (Look(1, 0.9, 0.8, 0.5), Look(2, 0.7, 0.6, 0.75)), 0.75, 0.7, 0.6, 1.5, "alone")
LOST = (Look(1, 0.9, 0.8, 0.5), Look(2, float("inf"), float("inf"), 0.1))
FAILED = replace(DONE, failed="diverged at step 2", curve=LOST, loss=float("inf"))
posix = pytest.mark.skipif(sys.platform == "win32", reason="forks")


def trial(seed: int = 0, **arm: object) -> Trial:
    return Trial(Arm(**({"lr": 0.1} | arm)), seed, 300, 20, "c0ffee")


def process(work: Callable[[TextIO], None]) -> tuple[int, TextIO]:
    """Run `work` in a process of its own: its id, and what it writes. Forked, since importing torch takes seconds."""
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, os.fdopen(reader)
    code = 1
    try:
        os.close(reader)
        with os.fdopen(writer, "w", buffering=1) as out:
            work(out)
        code = 0
    finally:
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def writing(path: Path, seeds: Iterable[int]) -> Callable[[TextIO], None]:
    """Keeps those that are not there, one by one, and says each that is kept."""

    def work(out: TextIO) -> None:
        with Store(path) as store:
            for each in map(trial, seeds):
                if not store.known([each.key]):
                    store.keep([(each, DONE)])
                    out.write(each.key + "\n")

    return work


def all_bytes(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def test_what_was_kept_is_found_by_its_key_also_by_another_store(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as store:
        store.keep([(trial(0), DONE), (trial(1), FAILED)])
    with Store(tmp_path / "a.sqlite") as store:
        assert store.known([trial(0).key, trial(1).key, trial(2).key]) == {trial(0).key: DONE, trial(1).key: FAILED}
        assert len(store) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


def test_a_key_that_is_there_stays_as_it_is() -> None:
    with Store() as store:
        store.keep([(trial(), DONE)])
        store.keep([(trial(), FAILED), (trial(1), DONE)])
        assert store.known([trial().key, trial(1).key]) == {trial().key: DONE, trial(1).key: DONE}


def test_the_configuration_that_is_kept_is_what_the_key_is_the_hash_of() -> None:
    asked = trial(3, model=nn.Linear, init=None, options={"in_features": 2, "out_features": 3})
    assert hashlib.sha256(asked.config.encode()).hexdigest() == asked.key


def test_keep_is_all_or_nothing(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as store:
        with pytest.raises(AttributeError):
            store.keep([(trial(0), DONE), (trial(1), None)])  # type: ignore[list-item]
        store._db.execute("CREATE TRIGGER no BEFORE INSERT ON trials WHEN (SELECT count(*) FROM trials) = 1 "
                          "BEGIN SELECT RAISE(ABORT, 'refused'); END")  # fmt: skip
        with pytest.raises(StudyError, match="refused"):
            store.keep([(trial(0), DONE), (trial(1), DONE)])
        assert len(store) == 0
        store._db.execute("DROP TRIGGER no")
        store.keep([(trial(0), DONE)])
        assert len(store) == 1


def test_rows_have_the_same_columns_and_types_whatever_the_arm() -> None:
    arms = [
        {},
        {"norm": "batch", "clip": 1, "mixup": 1, "init": None},
        {"model": nn.Linear, "options": {"in_features": 2, "out_features": 3}},
    ]
    with Store() as store:
        store.keep([(trial(seed, **arm), DONE if seed else FAILED) for seed, arm in enumerate(arms)])
        rows = list(store.rows())
    assert len(rows) == 3
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == inside.COLUMNS
        assert list(row) == list(inside.COLUMNS)
    assert rows[0]["failed"] == "diverged at step 2"
    assert rows[1]["failed"] == ""
    assert (rows[0]["clip"], rows[1]["clip"], rows[1]["norm"], rows[1]["init"]) == (float("inf"), 1.0, "batch", "")
    assert json.loads(str(rows[2]["options"])) == {"in_features": 2, "out_features": 3}
    assert (rows[1]["seed"], rows[1]["test"], rows[1]["area"]) == (1, 0.7, 0.625)


def test_every_field_of_an_arm_and_of_a_trial_is_a_column() -> None:
    config = json.loads(trial().config)
    assert set(config.pop("arm")) == set(inside.ARM)
    assert set(config) == set(inside.TRIAL)


def test_csv_and_json_hold_the_rows(tmp_path: Path) -> None:
    with Store() as store:
        store.keep([(trial(0), DONE), (trial(1, norm="batch"), FAILED)])
        store.to_csv(tmp_path / "a.csv")
        store.to_json(tmp_path / "a.json")
        rows = list(store.rows())
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{name: str(value) for name, value in row.items()} for row in rows]
    first, second = json.loads((tmp_path / "a.json").read_text())
    assert first["test"] == 0.7
    assert first["curve"][1] == {"step": 2, "train_loss": 0.7, "loss": 0.6, "score": 0.75}
    assert (second["loss"], second["norm"], second["curve"][1]["loss"]) == ("inf", "batch", "inf")


def test_a_file_of_another_format_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store(path) as store:
        store.keep([(trial(), DONE)])
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    before = all_bytes(path)
    with pytest.raises(StudyError, match=r"format 7.*reads format 2.*another path"):
        Store(path)
    assert all_bytes(path) == before


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0", b"\0" * 4096])
def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(StudyError, match="not a store of gainstage"):
        Store(path)
    assert all_bytes(path) == {"a.sqlite": content}


@pytest.mark.parametrize("log", ["DELETE", "WAL"])
def test_a_database_of_another_program_is_refused_and_left_as_it_was(tmp_path: Path, log: str) -> None:
    path = tmp_path / "a.sqlite"
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA journal_mode = {log}")
        db.execute("CREATE TABLE trials (key TEXT)")
    db.close()
    before = all_bytes(path)
    with pytest.raises(StudyError, match="SQLite file of another program"):
        Store(path)
    assert all_bytes(path) == before


def altered(path: Path, statement: str, *values: object) -> None:
    """Change a store as another program would."""
    with sqlite3.connect(path) as db:
        db.execute(statement, values)
    db.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("outcome", DONE.to_json().replace("0.7,", "0.8,")),
        ("outcome", "["),
        ("outcome", b"\xff"),
        ("outcome", 3),
        ("config", trial(0).config.replace("300", "400")),
        ("created", "2001-01-01"),
        ("digest", ""),
    ],
)
def test_a_damaged_trial_is_told_once_never_used_and_replaced(tmp_path: Path, column: str, value: object) -> None:
    path, keys = tmp_path / "a.sqlite", [trial(seed).key for seed in range(3)]
    with Store(path) as store:
        store.keep([(trial(seed), DONE) for seed in range(3)])
    for number in (1, 3):
        altered(path, f"UPDATE trials SET {column} = ? WHERE rowid = {number}", value)
    with Store(path) as store:
        with pytest.warns(DamagedTrials, match=r"a.sqlite holds trials that are damaged.*not used") as told:
            found = store.known(keys), [row["key"] for row in store.rows()]
        assert found == ({keys[1]: DONE}, [keys[1]])
        assert (len(told), store.damaged) == (1, 2)
        store.keep([(trial(seed), FAILED) for seed in range(3)])
        assert store.known(keys) == {keys[0]: FAILED, keys[1]: DONE, keys[2]: FAILED}


def test_a_file_that_sqlite_finds_damaged_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Store(path) as store:
        store.keep([(trial(seed), DONE) for seed in range(30)])
    whole = path.read_bytes()
    for content in (
        whole[:-4096],
        whole[:4200],
        whole.replace(b"CREATE TABLE trials (key", b"CREATE TABLE trials (kez"),
    ):
        path.write_bytes(content)
        with pytest.raises(StudyError, match=r"the store .* is damaged: .*left as it is"):
            Store(path)
        assert all_bytes(path) == {"a.sqlite": content}


def test_csv_has_no_text_that_a_spreadsheet_runs(tmp_path: Path) -> None:
    failed = replace(DONE, failed="=HYPERLINK(1)", test=-0.5)
    with Store() as store:
        store.keep([(trial(), failed)])
        store.to_csv(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["failed"], row["test"]) == ("'=HYPERLINK(1)", "-0.5")


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()
    with Store(tmp_path / "a.sqlite") as store:
        store.keep([(trial(), DONE)])
        assert len(store) == 1


def test_a_folder_or_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is a folder"):
        Store(tmp_path)
    with pytest.raises(StudyError, match="there is no folder"):
        Store(tmp_path / "none" / "a.sqlite")
    assert list(tmp_path.iterdir()) == []


@posix
def test_a_store_that_may_not_be_written_is_said() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path, which others may not enter
        path = Path(folder, "a.sqlite")
        Store(path).close()
        before = path.read_bytes()
        path.chmod(0o444)
        Path(folder).chmod(0o555)

        def work(out: TextIO) -> None:
            if os.geteuid() == 0:  # root may write everything
                os.setuid(65534)
            try:
                Store(path)
            except StudyError as error:
                out.write(str(error))

        child, said = process(work)
        text = said.read()
        assert ended(child) == 0
        assert "cannot be written" in text
        assert "another path" in text
        Path(folder).chmod(0o755)
        assert path.read_bytes() == before


def test_a_full_disk_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    with Store(tmp_path / "a.sqlite") as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 6}")
        kept = 0

        def fill() -> None:
            nonlocal kept
            for kept in range(200):
                store.keep([(trial(kept), DONE)])

        with pytest.raises(StudyError, match=r"no space left.*Every trial that was kept so far is safe"):
            fill()
        assert 0 < kept < 200
        assert len(store.known(trial(seed).key for seed in range(200))) == kept
        store._db.execute("PRAGMA max_page_count = 100000")
        store.keep([(trial(kept), DONE)])
        assert len(store) == kept + 1


@posix
def test_a_disk_that_takes_no_more_bytes_is_said_and_what_was_kept_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"

    def work(out: TextIO) -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            writing(path, range(1000))(out)
        except StudyError as error:
            out.write(str(error))

    child, said = process(work)
    *kept, last = said.read().split("\n")
    assert ended(child) == 0
    assert "no space left" in last
    assert 0 < len(kept) < 1000
    with Store(path) as store:
        assert len(store.known(kept)) == len(kept)
        store.keep([(trial(5000), DONE)])


@posix
def test_many_processes_open_one_new_file_and_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    writers = [process(writing(path, range(first, 60, 2))) for first in (0, 1, 0, 1, 0, 1)]
    said = [out.read().split() for _, out in writers]
    assert [ended(child) for child, _ in writers] == [0] * 6
    assert set().union(*said) == {trial(seed).key for seed in range(60)}
    with Store(path) as store:
        assert len(store) == 60


def test_many_threads_make_and_share_one_store(tmp_path: Path) -> None:
    def write(first: int) -> None:
        with Store(tmp_path / "a.sqlite") as own:
            own.keep([(trial(first), DONE)])
        shared.keep([(trial(first), DONE), (trial(first + 100), DONE)])

    with Store(tmp_path / "b.sqlite") as shared, ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(24)))
        assert len(shared) == 48
    with Store(tmp_path / "a.sqlite") as store:
        assert len(store) == 24


@posix
def test_a_kill_at_any_moment_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    path, moments = tmp_path / "a.sqlite", random.Random(0)
    said: set[str] = set()
    there: set[str] = set()
    for _ in range(30):  # two write the same trials; both are killed, some while they make the file
        writers = [process(writing(path, range(len(there), 100_000))) for _ in range(2)]
        for _ in range(moments.randint(0, 3)):
            said.add(writers[0][1].readline().strip())
        time.sleep(moments.uniform(0.0, 0.02))
        for child, _ in writers:
            os.kill(child, signal.SIGKILL)
        for child, out in writers:
            said |= {line for line in out.read().split("\n") if len(line) == 64}
            assert ended(child) == -signal.SIGKILL
        if path.exists():
            db = sqlite3.connect(path)
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            db.close()
        with Store(path) as store:
            there = {str(row["key"]) for row in store.rows()}
        assert said - {""} <= there
    asked = {trial(seed).key for seed in range(len(there) + 10)}
    child, out = process(writing(path, range(len(there) + 10)))
    rest = set(out.read().split())
    assert ended(child) == 0
    assert not rest & there
    assert there | rest == asked
