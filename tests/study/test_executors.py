"""Serial and Pool: same numbers, exceptions as they are, and no call lost with a worker that is not to blame."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, wait
from pathlib import Path
from typing import Any

import pytest
import torch
from calls import innocent, kill_first, numbers, raises, raises_awkward, raises_locked
from interrupt import answers_ctrl_c

from gainstage.study import Pool, Serial, StudyError, WorkerLost


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with Pool(workers=2) as pool:
        yield pool


@pytest.fixture(params=["serial", "pool"])
def executor(request: pytest.FixtureRequest, pool: Pool) -> Executor:
    return Serial() if request.param == "serial" else pool


def test_results_come_back_in_their_futures(executor: Executor) -> None:
    assert [executor.submit(divmod, i, 3).result() for i in range(5)] == [divmod(i, 3) for i in range(5)]
    assert list(executor.map(str.upper, ["a", "b"])) == ["A", "B"]
    assert executor.submit(dict, a=1).result() == {"a": 1}


def test_an_exception_is_that_of_the_call(executor: Executor) -> None:
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        executor.submit(lambda: 1 / 0).result()
    with pytest.raises(StudyError, match="as it is"):
        executor.submit(raises, StudyError("as it is")).result()


def test_a_worker_s_traceback_is_a_note(pool: Pool) -> None:
    error = pool.submit(raises, KeyError("x")).exception()
    assert isinstance(error, KeyError)
    assert "in raises" in error.__notes__[0]


@pytest.mark.parametrize(("call", "told"), [(raises_awkward, "Awkward: one"), (raises_locked, "Locked: holds a lock")])
def test_an_exception_that_does_not_travel_is_told_and_breaks_nothing(pool: Pool, call: Any, told: str) -> None:
    assert pool.submit(pow, 2, 3).result() == 8
    inner = pool._main.pool
    with pytest.raises(StudyError, match=f"does not travel: .*{told}"):
        pool.submit(call).result()
    assert pool.submit(pow, 2, 3).result() == 8
    assert pool._main.pool is inner


def test_what_cannot_be_sent_or_brought_back_fails_alone(pool: Pool) -> None:
    with pytest.raises(StudyError, match="cannot be sent to a worker"):
        pool.submit(id, threading.Lock()).result()
    with pytest.raises(TypeError, match="pickle"):
        pool.submit(threading.Lock).result()
    assert pool.submit(pow, 2, 3).result() == 8


def test_a_call_that_exits_raises_that(pool: Pool) -> None:
    assert isinstance(pool.submit(sys.exit, 3).exception(), SystemExit)
    assert pool.submit(pow, 2, 3).result() == 8


def test_numbers_are_those_of_serial_to_the_last_bit(pool: Pool) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        here = [Serial().submit(numbers, seed).result() for seed in range(4)]
    finally:
        torch.set_num_threads(threads)
    there = [pool.submit(numbers, seed) for seed in range(4)]
    assert all(torch.equal(one, other.result()) for one, other in zip(here, there, strict=True))


def test_a_worker_has_one_thread(pool: Pool) -> None:
    assert pool.submit(torch.get_num_threads).result() == 1
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"


def test_no_more_than_workers_run_at_once() -> None:
    with Pool(workers=1) as one:
        first = one.submit(time.sleep, 0.3)
        second = one.submit(pow, 2, 2)
        assert second.cancel()
        assert first.result() is None
        assert second.cancelled()


def test_calls_in_flight_with_a_lost_worker_run_again(pool: Pool, tmp_path: Path) -> None:
    lost = pool.submit(kill_first, tmp_path, "once", 1)
    others = [pool.submit(innocent, tmp_path, i) for i in range(8)]
    assert lost.result() == "once"
    assert [other.result() for other in others] == list(range(8))
    assert len(list(tmp_path.glob("once-*"))) == 2


def test_a_call_that_loses_its_worker_three_times_is_given_up_alone(pool: Pool, tmp_path: Path) -> None:
    guilty = [pool.submit(kill_first, tmp_path, name, 9) for name in ("a", "b")]
    others = [pool.submit(innocent, tmp_path, i) for i in range(12)]
    for call in guilty:
        with pytest.raises(WorkerLost, match=r"3 times.*fewer workers.*Serial\(\)"):
            call.result()
    assert [other.result() for other in others] == list(range(12))
    assert [len(list(tmp_path.glob(f"{name}-*"))) for name in ("a", "b")] == [3, 3]
    assert pool.submit(pow, 2, 3).result() == 8


def test_a_worker_that_is_lost_while_it_has_nothing_to_do_costs_nothing(pool: Pool) -> None:
    os.kill(pool.submit(os.getpid).result(), signal.SIGKILL)
    time.sleep(0.3)
    assert [pool.submit(pow, 2, i).result() for i in range(4)] == [1, 2, 4, 8]


def test_shutdown_that_cancels_kills_what_runs() -> None:
    pool = Pool(workers=1)
    worker = pool.submit(os.getpid).result()
    calls = [pool.submit(time.sleep, 600) for _ in range(3)]
    pool.shutdown(cancel_futures=True)
    assert all(isinstance(_error(call), CancelledError) for call in calls)
    assert not _alive(worker)
    with pytest.raises(RuntimeError, match="make a new one"):
        pool.submit(pow, 2, 2)


def test_shutdown_finishes_what_was_submitted() -> None:
    pool = Pool(workers=1)
    calls = [pool.submit(pow, 2, i) for i in range(5)]
    pool.shutdown(wait=False)
    assert [call.result(timeout=60) for call in wait(calls, timeout=60).done and calls] == [1, 2, 4, 8, 16]


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(StudyError, match="workers is 0: expected 1 or more"):
        Pool(workers=0)
    assert 1 <= Pool().workers <= (os.cpu_count() or 1)


SCRIPT = """
from gainstage.study import Pool
import os, time

def twice(x):
    return 2 * x

with Pool(workers=1) as pool:
    print(pool.submit(twice, 21).result(), flush=True)
    print(pool.submit(os.getpid).result(), flush=True)
    {then}
"""


@pytest.mark.parametrize("way", ["-", "file"])
def test_a_script_needs_no_main_guard_and_leaves_nothing_behind(way: str, tmp_path: Path) -> None:
    text = SCRIPT.format(then="pass")
    (tmp_path / "script.py").write_text(text)
    command = {"-": ["-"], "file": [str(tmp_path / "script.py")]}[way]
    run = subprocess.run([sys.executable, *command], input=text, capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stderr) == (0, "")
    answer, worker = run.stdout.split()
    assert answer == "42"
    assert not _alive(int(worker))


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_end_of_the_parent_ends_its_workers(how: signal.Signals) -> None:
    text = SCRIPT.format(then="pool.submit(time.sleep, 600).result()")
    parent = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=answers_ctrl_c,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "42\n"
    worker = int(parent.stdout.readline())
    time.sleep(0.2)
    parent.send_signal(how)
    parent.wait(timeout=60)
    end = time.monotonic() + 60
    while _alive(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _error(call: Any) -> BaseException | None:
    try:
        return call.exception(timeout=60)
    except CancelledError as error:
        return error
