"""Random modules, contexts and exceptions against the promise that a look at a model leaves no trace.

python benchmarks/fuzz.py --modules 20000            # two workers, about 25 minutes; the table goes to results/fuzz.txt
python benchmarks/fuzz.py --seed 17                  # one case again, with its source and all that differs
python benchmarks/fuzz.py --seed 17 --shrink         # the same failure with as few parts as possible

Every case comes from one integer (`tests/helpers/fuzz/grammar.py`) and is judged in `tests/helpers/fuzz/judge.py`. A
case that crashes or hangs its process is counted, and the run goes on.
"""

import argparse
import collections
import json
import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "helpers"))
LONGEST = 90  # seconds without a word from a worker
BLOCK = 500  # cases a process, so that what torch keeps does not add up
Row = dict[str, Any]


def work(first: int, last: int) -> None:
    """Judge a range of seeds, one line of JSON each."""
    import torch
    from fuzz.grammar import draw
    from fuzz.judge import judge

    torch.set_num_threads(1)
    for seed in range(first, last):
        case = draw(seed)
        row = {"seed": seed, "call": case.call, "context": case.context, "thrown": case.fault is not None}
        row["made_of"] = case.made_of()
        print(json.dumps({"begins": row}), flush=True)
        verdict = judge(case)
        row |= {"outcome": verdict.outcome, "kinds": verdict.kinds, "details": verdict.details[:6]}
        print(json.dumps({"ends": row | {"seconds": round(verdict.seconds, 3)}}), flush=True)
        if any("world" in kind or "hang" in kind for kind in verdict.kinds):
            return  # what is left changed must not disturb the next case


def blocks(first: int, count: int) -> list[tuple[int, int]]:
    return [(at, min(at + BLOCK, first + count)) for at in range(first, first + count, BLOCK)]


def supervise(waiting: list[tuple[int, int]], rows: list[Row], until: float) -> None:
    """Give blocks to worker processes, one after the other; a dead or silent one costs its case only."""
    while waiting and time.monotonic() < until:
        first, last = waiting.pop(0)
        command = [sys.executable, __file__, "--work", str(first), str(last)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment())
        begun: Row | None = None
        reached = first
        for line in _lines(process, until):
            told = json.loads(line)
            begun = told.get("begins")
            if "ends" in told:
                rows.append(told["ends"])
                reached = told["ends"]["seed"] + 1
        silent = process.poll() is None
        if silent:
            process.kill()
        code = process.wait()
        if time.monotonic() >= until:
            return
        if begun is not None:
            kind = "hang of the process" if silent else f"crash of the process: {code}"
            rows.append(begun | {"outcome": "failed", "kinds": [kind], "details": [], "seconds": 0.0})
            reached = begun["seed"] + 1
        if reached < last:
            waiting.insert(0, (reached, last))


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}


def _lines(process: "subprocess.Popen[bytes]", until: float) -> Any:
    """The lines of a process that begin as JSON, until it ends, is silent for too long, or time is up."""
    assert process.stdout is not None
    rest = b""
    while select.select([process.stdout], [], [], LONGEST)[0] and time.monotonic() < until:
        came = os.read(process.stdout.fileno(), 65536)
        if not came:
            process.wait()
            return
        *whole, rest = (rest + came).split(b"\n")
        yield from (line for line in whole if line.startswith(b"{"))


def typical(alike: list[Row], every: "collections.Counter[str]") -> str:
    """The two ingredients that best mark a group of cases, with how many of the cases that have them are in it."""
    here = collections.Counter(name for row in alike for name in row["made_of"])
    marks = sorted(here, key=lambda name: (-(here[name] ** 2) / every[name], name))[:2]
    return ", ".join(f"{name} {here[name]}/{every[name]}" for name in marks)


def table(rows: list[Row], seconds: float) -> str:
    """Counts by call, by context and by kind, with seeds."""
    counted = collections.Counter(row["outcome"] for row in rows)
    every = collections.Counter(name for row in rows for name in row["made_of"])
    lines = [f"{len(rows)} cases in {seconds / 60:.1f} minutes: " + ", ".join(f"{counted[o]} {o}" for o in OUTCOMES)]
    for title in ("call", "context", "thrown"):
        lines += ["", f"by {title:21}" + "".join(f"{o:>10}" for o in OUTCOMES)]
        groups = collections.defaultdict(collections.Counter)
        for row in rows:
            groups[str(row[title])][row["outcome"]] += 1
        lines += [f"  {n:22}" + "".join(f"{groups[n][o]:10}" for o in OUTCOMES) for n in sorted(groups)]
    for outcome in ("failed", "refused", "excluded"):
        kinds = collections.defaultdict(list)
        for row in rows:
            for kind in row["kinds"] if row["outcome"] == outcome else ():
                kinds[kind].append(row)
        lines += [
            "",
            f"{outcome}, by kind (a case counts in each of its kinds): first seeds, what they share",
        ]
        ranked = sorted(kinds.items(), key=lambda item: (-len(item[1]), item[0]))
        for kind, alike in ranked:
            seeds = sorted(row["seed"] for row in alike)[:3]
            lines += [f"  {len(alike):6}  {kind}  {seeds}  {typical(alike, every)}"]
        lines += [] if ranked else ["       0"]
    return "\n".join(lines) + "\n"


OUTCOMES = ("fine", "refused", "excluded", "failed")


def run(first: int, count: int, workers: int, minutes: float) -> tuple[list[Row], float]:
    """Judge `count` seeds in worker processes."""
    start = time.monotonic()
    waiting, rows = blocks(first, count), []
    threads = [threading.Thread(target=supervise, args=(waiting, rows, start + 60 * minutes)) for _ in range(workers)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.5)
        if sys.stderr.isatty():
            failed = sum(row["outcome"] == "failed" for row in rows)
            print(f"\r{len(rows)} of {count}, {failed} failed", end="", file=sys.stderr)
    return rows, time.monotonic() - start


def show(seed: int, smallest: bool) -> None:
    """One case with its source and all that differs."""
    from fuzz.grammar import draw
    from fuzz.judge import judge
    from fuzz.shrink import shrink

    verdict = judge(draw(seed))
    print(verdict)
    if smallest and verdict.outcome == "failed":
        verdict = shrink(verdict)
        print("\nas few parts as show the same:\n", verdict, sep="")
    print("\n" + verdict.case.source())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modules", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=120, help="stop after this time")
    parser.add_argument("--out", type=Path, help="write the table to this file")
    parser.add_argument("--rows", type=Path, help="write every case as a line of JSON to this file")
    parser.add_argument("--seed", type=int, help="repeat one case")
    parser.add_argument("--shrink", action="store_true", help="with --seed: look for a smaller case that fails alike")
    parser.add_argument("--work", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(*given.work)
    elif given.seed is not None:
        show(given.seed, given.shrink)
    else:
        rows, seconds = run(given.first, given.modules, given.workers, given.minutes)
        text = table(rows, seconds)
        print(text)
        if given.out:
            given.out.write_text(text, encoding="utf-8")
        if given.rows:
            given.rows.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        sys.exit(any(row["outcome"] == "failed" for row in rows))


if __name__ == "__main__":
    main()
