"""`gainstage compare`, from the file to the output, and everything that can go wrong on the way."""

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from interrupt import answers_ctrl_c

from gainstage.cli._study import default_store
from gainstage.study import Progress, Serial, Tally

STUDY = """
data = "iris"
seeds = 2
steps = 8
rates = [0.01, 0.1]

[grid]
init = ["he_normal", "zeros"]
depth = 1
width = 4
"""
OWN = """
data = "iris"
seeds = 2
steps = 4

[[arms]]
name = "mine"
model = "own.py:build"
options = { width = 3 }
lr = 0.1
"""
MODEL = """
from torch import nn

def build(width):
    return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))

def wrong():
    return nn.Linear(7, 3)
"""
SERIAL = ("--executor", "serial")

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's caches, and the files of a study, in the directory of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "own.py").write_text(MODEL)
    return tmp_path / "cache" / "gainstage" / "studies-2.sqlite"


def test_a_study_is_run_kept_and_known_the_next_time(run: Run, cache: Path) -> None:
    first = run("compare", "study.toml", *SERIAL)
    assert first.exit_code == 0, first.stderr
    assert "study: 2 arms × 2 seeds on iris" in first.stdout
    trials = re.search(r"(\d+) trials with those that chose the learning rates; none was known", first.stdout)[1]
    assert cache.is_file()
    second = run("compare", "study.toml", *SERIAL)
    assert f"{trials} of {trials} trials were known from {cache}" in " ".join(second.stderr.split())
    assert first.stdout.splitlines()[:8] == second.stdout.splitlines()[:8]


def test_options_win_over_the_file(run: Run, tmp_path: Path) -> None:
    store = tmp_path / "here.sqlite"
    options = ("--seeds", "1", "--steps", "3", "--data", "wine", "--store", str(store))
    result = run("compare", "study.toml", *options, *SERIAL)
    assert "2 arms × 1 seed on wine" in result.stdout
    assert "after 3 steps" in result.stdout
    assert store.is_file()


def test_a_model_of_one_s_own_is_found_from_the_directory_of_the_file(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    result = run("compare", str(tmp_path / "own.toml"), *SERIAL)
    assert result.exit_code == 0, result.stderr
    assert "own: 1 arm × 2 seeds on iris" in result.stdout


def test_every_format_and_a_file(run: Run, tmp_path: Path) -> None:
    said = json.loads(run("compare", "study.toml", *SERIAL, "--output-format", "json").stdout)
    assert [arm["label"] for arm in said["arms"]] == ["he_normal", "zeros"]
    assert said["claims"] == []
    rows = list(csv.DictReader(io.StringIO(run("compare", "study.toml", *SERIAL, "--output-format", "csv").stdout)))
    assert [(row["arm"], row["seed"]) for row in rows][::3] == [("he_normal", "0"), ("zeros", "1")]
    page = tmp_path / "page.html"
    result = run("compare", "study.toml", *SERIAL, "--output-format", "html", "--output-file", str(page))
    assert result.stdout == ""
    assert f"wrote {page}" in result.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_without_a_file_it_is_the_comparison_of_the_textbooks(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole run takes minutes: here the engine is replaced by results that were made by hand."""
    from made_results import textbook_like

    from gainstage.study import Study

    seen: list[Study] = []

    def instead(self: Study, **_: object) -> object:
        seen.append(self)
        return textbook_like()

    monkeypatch.setattr(Study, "run", instead)
    result = run("compare", *SERIAL)
    assert result.exit_code == 0, result.stderr
    assert len(seen[0].arms) == 64
    assert "What textbooks say" in result.stdout
    assert "Of 40 claims: 39 hold, 1 not, 0 cannot be told." in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stduy.toml"], "there is no file stduy.toml. Did you mean 'study.toml'?"),
        (["bad.toml"], "bad.toml, line 1: there is no key 'sedes'. Did you mean 'seeds'?"),
        (["text.toml"], "text.toml is not TOML"),
        (["empty.toml"], "empty.toml has no arms"),
        (["study.toml", "--data", "irs"], "iris"),
        (["study.toml", "--seeds", "0"], "0 is not in the range x>=1"),
        (["study.toml", "--executor", "serial", "--workers", "2"], "--workers is for --executor pool"),
        (["study.toml", "--output-file", "no/where.txt"], "expected a file name in a directory that exists"),
        (["wrong.toml"], "line 2, in [[arms]] number 1: there is no file"),
        (["shape.toml", *SERIAL], "wrong"),
    ],
)
def test_what_cannot_be_run_is_said_once_and_the_store_stays_as_it_was(
    refused: Callable[..., str], tmp_path: Path, cache: Path, arguments: list[str], said: str
) -> None:
    (tmp_path / "bad.toml").write_text("sedes = 3\n" + STUDY)
    (tmp_path / "text.toml").write_text("seeds: 3")
    (tmp_path / "empty.toml").write_text("seeds = 3")
    (tmp_path / "wrong.toml").write_text('[[arms]]\nmodel = "none.py:build"')
    (tmp_path / "shape.toml").write_text('data = "iris"\n[[arms]]\nmodel = "own.py:wrong"\nlr = 0.1')
    message = refused("compare", *arguments)
    assert said in message
    assert message.startswith(("gainstage: ", "Usage: "))
    assert message.count("gainstage: ") + message.count("Usage: ") == 1
    if cache.is_file():
        assert rows_in(cache) == 0


def test_a_file_that_is_no_store_is_left_alone(refused: Callable[..., str], tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("not a data base " * 100)
    assert "is not a store of gainstage" in refused("compare", "study.toml", *SERIAL, "--store", str(other))
    assert other.read_text() == "not a data base " * 100


def test_what_goes_wrong_on_the_way_says_what_is_kept(
    refused: Callable[..., str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Serial, "submit", after(1, Serial.submit, OSError("no space left on device")))
    said = refused("compare", "study.toml", *SERIAL)
    assert "unexpected OSError: no space left on device Kept 4 of " in said
    assert f"trials in {cache}; the same command goes on from there." in said
    assert rows_in(cache) == 4


def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on_from_there(
    run: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as interrupting:
        interrupting.setattr(Serial, "submit", after(1, Serial.submit, KeyboardInterrupt()))
        result = run("compare", "study.toml", *SERIAL)
    assert result.exit_code == 130
    assert result.stdout == ""
    said = " ".join(result.stderr.split())
    assert re.search(r"gainstage: interrupted. Kept 4 of \d+ trials in ", said)
    assert f"{cache}; the same command goes on from there." in said
    assert "Traceback" not in result.stderr
    assert re.search(r"4 of \d+ trials were known", " ".join(run("compare", "study.toml", *SERIAL).stderr.split()))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads what processes ignore from Linux's /proc")
def test_a_real_ctrl_c_ends_the_workers_too(room: Path, tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(STUDY.replace("steps = 8", "steps = 1000000"))
    code = "from gainstage.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "compare", "long.toml", "--workers", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=answers_ctrl_c,
    )  # fmt: skip
    while sum(map(ignores_ctrl_c, members(process.pid))) < 2 and process.poll() is None:  # loky's tracker, a worker
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    try:
        out, said = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert out == ""
    assert "interrupted. Kept 0 of" in " ".join(said.split())
    assert "Traceback" not in said
    for _ in range(100):
        if not members(process.pid):
            break
        time.sleep(0.1)
    assert members(process.pid) == []


def members(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    return [pid for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]


def ignores_ctrl_c(pid: str) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return bool(int(re.search(r"SigIgn:\s*(\w+)", status)[1], 16) & 1 << (signal.SIGINT - 1))


def rows_in(store: Path) -> int:
    with sqlite3.connect(store) as connection:
        (table,) = next(iter(connection.execute("select name from sqlite_master where type = 'table' limit 1")))
        return int(connection.execute(f"select count(*) from {table}").fetchone()[0])


def after(calls: int, submit: Callable[..., object], error: BaseException) -> Callable[..., object]:
    """`submit` that works so many times, and then raises."""
    left = [calls]

    def changed(*arguments: object) -> object:
        if not left[0]:
            raise error
        left[0] -= 1
        return submit(*arguments)

    return changed


def test_a_tally_counts_over_rounds_of_tuning() -> None:
    """Two rounds of tuning, the second of which widens the grid, then the reported trials."""
    tally = Tally(reported=10)
    assert (tally.stage, tally.total) == ("tuning", 10)
    told = [("tuning", 4, 20, 4), ("tuning", 20, 20, 4), ("tuning", 0, 2, 0), ("tuning", 2, 2, 0)]
    for stage, done, total, known in told:
        tally(Progress(stage, done, total, known))
    assert (tally.done, tally.total, tally.known, tally.stage) == (22, 32, 4, "tuning")
    tally(Progress("trials", 3, 10, 3))
    assert (tally.done, tally.total, tally.known, tally.stage) == (25, 32, 7, "training")


def test_the_store_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_store() == tmp_path / "cache" / "gainstage" / "studies-2.sqlite"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for unset in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unset)
        assert default_store() == tmp_path / "home" / ".cache" / "gainstage" / "studies-2.sqlite"


def test_a_file_in_the_way_of_the_store_is_said(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    assert "Name a file with --store" in refused("compare", "study.toml", *SERIAL)


def test_a_model_from_a_file_in_several_arms_trains_in_processes(run, room: Path) -> None:
    (room / "two_widths.py").write_text(
        "from torch import nn\ndef net(width=4):\n"
        "    return nn.Sequential(nn.Linear(13, width), nn.ReLU(), nn.Linear(width, 3))\n"
    )
    (room / "s.toml").write_text(
        'data = "wine"\nseeds = 2\nsteps = 20\n'
        + "".join(f'[[arms]]\nmodel = "two_widths.py:net"\nlr = 0.01\noptions = {{ width = {w} }}\n' for w in (2, 4))
    )
    result = run("compare", "s.toml", "--store", "s.db", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "width 4" in result.output
