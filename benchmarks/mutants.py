"""How many one-line faults do the tests notice? `python benchmarks/mutants.py [ROOM ...] [--jobs 2] [--only TEXT]`.

`benchmarks/mutants/<room>.txt` lists the faults: a file and what the fault is, the text (`-`) that is in the file once,
and what stands there instead (`+`). Each is put into a copy of the repository, where the fast tests of its room run
until the first that fails: the fault is killed. A text that is gone is looked for in the other files of the package;
one that is nowhere is stale, and the list must follow. The processes are forked from one that has imported torch.

The rates go to `benchmarks/results/mutants.txt`, unless rooms or `--only` chose some.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "mutants.txt"
SLOWEST = 600  # seconds, after which a fault that makes the tests run on is noticed too
TESTS = {
    "init": "init/test_gain init/test_fans init/test_laws init/test_orthogonal init/test_torch init/test_attention "
    "init/test_check init/test_bad_input init/test_untrusted init/test_streams init/test_small_print",
    "signal": "signal/test_moments signal/test_graph signal/test_record signal/test_table signal/test_hints "
    "plan/test_spellings plan/test_closed_forms check/test_golden",
    "theory": "theory/test_activation theory/test_meanfield theory/test_propagate theory/test_predict "
    "theory/test_ranges plan/test_closed_forms plan/test_sums check/test_losses",
    "plan": "plan/test_spellings plan/test_laws plan/test_plan plan/test_calibrate plan/roles/test_roles "
    "plan/roles/test_highway plan/roles/test_state_space "
    "plan/test_small_print plan/test_closed_forms plan/test_planned_levels",
    "check": "check/test_golden check/test_engine check/test_losses check/test_config check/test_baseline "
    "check/test_rules_norm check/test_spellings check/test_small_print check/test_probes check/test_rules",
    "study": "study/test_statistics study/test_small_print study/test_verdict",
    "run": "signal/test_record plan/test_plan check/test_engine check/test_probes run/test_fuzz_sees",
}


@dataclass(frozen=True)
class Mutant:
    room: str
    file: str
    what: str
    old: str
    new: str

    def place(self, package: Path) -> Path | None:
        """The file that has the text once: the one that is named, or the only other."""
        named = [package / self.file] if (package / self.file).is_file() else []
        for files in (named, sorted(package.rglob("*.py"))):
            found = [file for file in files if file.read_text(encoding="utf-8").count(self.old) == 1]
            if len(found) == 1:
                return found[0]
        return None


def listed(room: str) -> list[Mutant]:
    text = (Path(__file__).parent / "mutants" / f"{room}.txt").read_text(encoding="utf-8")
    found = []
    for block in text.strip().split("\n\n"):
        head, *lines = block.splitlines()
        file, what = head.split(": ", 1)
        old, new = ("\n".join(line[2:] for line in lines if line[0] == sign) for sign in "-+")
        found.append(Mutant(room, file, what, old, new))
    return found


def copy() -> Path:
    """A copy of the repository to break; compiled files come along, those of other sources stay valid."""
    there = Path(tempfile.mkdtemp(prefix="mutants-"))
    for part in ("src", "tests", "pyproject.toml", "README.md", "docs", "benchmarks"):
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, there / part, ignore=shutil.ignore_patterns("results", ".git"))
        elif source.exists():
            shutil.copy2(source, there / part)
    return there


class Failures:
    """A plugin of pytest that writes down which tests failed."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def start(room: str, there: Path, *options: str) -> int:
    """Fork a process that runs the tests of a room in `there`, writes down the failed ones and exits as pytest does."""
    child = os.fork()
    if child:
        return child
    os.chdir(there)
    sys.path.insert(0, str(there / "src"))
    sys.dont_write_bytecode = True
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1), os.dup2(quiet, 2)
    import pytest

    tests = [f"tests/{name}.py" for name in TESTS[room].split() if (there / f"tests/{name}.py").is_file()]
    failures = Failures()
    code = int(pytest.main([*tests, "-q", "-n", "0", "-p", "no:cacheprovider", *options], plugins=[failures]))
    (there / "failed").write_text("\n".join(failures.names), encoding="utf-8")
    os._exit(code)


def failing(rooms: list[str], copies: list[Path]) -> dict[str, list[str]]:
    """By room, the tests that fail without a fault: they notice nothing."""
    found, todo = {}, list(rooms)
    while todo:
        some, todo = todo[: len(copies)], todo[len(copies) :]
        children = [(room, there, start(room, there)) for room, there in zip(some, copies, strict=False)]
        for room, there, child in children:
            os.waitpid(child, 0)
            found[room] = (there / "failed").read_text(encoding="utf-8").splitlines()
            print(f"{room}: without a fault fail {found[room] or 'none'}", flush=True)
    return found


def outcomes(mutants: list[Mutant], jobs: int) -> dict[Mutant, str]:
    """`killed`, `survived` or `stale` for each."""
    copies, told = [copy() for _ in range(jobs)], {}
    running: dict[int, tuple[Mutant, Path, Path, str, float]] = {}
    todo, sick = list(mutants), failing(list(dict.fromkeys(m.room for m in mutants)), copies)
    while todo or running:
        while todo and copies:
            mutant, there = todo.pop(0), copies.pop()
            file = mutant.place(there / "src" / "gainstage")
            if file is None:
                told[mutant] = "stale"
                copies.append(there)
                continue
            before = file.read_text(encoding="utf-8")
            file.write_text(before.replace(mutant.old, mutant.new), encoding="utf-8")
            left_out = [f"--deselect={name}" for name in sick[mutant.room]]
            running[start(mutant.room, there, "-x", *left_out)] = mutant, there, file, before, time.monotonic()
        for child, (mutant, there, file, before, began) in list(running.items()):
            done, status = os.waitpid(child, os.WNOHANG)
            if not done and time.monotonic() - began > SLOWEST:
                os.kill(child, 9)
                done, status = os.waitpid(child, 0)
            if done:
                told[mutant] = "survived" if status == 0 else "killed"
                print(f"{told[mutant]:9} {time.monotonic() - began:5.0f} s  {mutant.file}: {mutant.what}", flush=True)
                file.write_text(before, encoding="utf-8")
                copies.append(there)
                del running[child]
        time.sleep(0.1)
    for there in copies:
        shutil.rmtree(there)
    return told


def table(told: dict[Mutant, str]) -> str:
    lines = ["room     killed  of    rate  stale"]
    for room in dict.fromkeys(mutant.room for mutant in told):
        of = [what for mutant, what in told.items() if mutant.room == room]
        killed, stale = of.count("killed"), of.count("stale")
        lines.append(f"{room:8} {killed:6} {len(of) - stale:3} {killed / max(len(of) - stale, 1):7.0%} {stale:6}")
    for kind in ("survived", "stale"):
        lines += ["", f"{kind}:", *(f"  {m.room}  {m.file}: {m.what}" for m, what in told.items() if what == kind)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", choices=[[], *TESTS], default=[])
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", help="run those whose description holds this text; write nothing")
    given = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
    import numba  # noqa: F401
    import torch  # noqa: F401

    rooms = given.rooms or list(TESTS)
    told = outcomes([m for room in rooms for m in listed(room) if given.only in m.what], given.jobs)
    print(table(told))
    if not given.only and not given.rooms:
        RESULTS.write_text(table(told), encoding="utf-8")


if __name__ == "__main__":
    main()
