"""A public suite of training programs with one fault each, and of healthy ones: what do checkers say of them?

    python benchmarks/faults > benchmarks/results/faults.txt                        # asks every tool, five minutes
    python benchmarks/faults --symptoms > benchmarks/results/fault_symptoms.txt     # trains all programs, ten minutes
    python benchmarks/faults --tools gainstage --only loss/                         # a part of it

Each file of `programs/` is one fault with its repair, of `healthy/` a program that looks wrong and is not. A fault
counts only if it does harm: after the same steps its error is at least 1.5 times that of its repair, for each of three
seeds (`--symptoms`). Tools are asked in turn about the same programs in the same run, each time about a fresh one:

- found: it says anything that it calls an error, a failure or a warning of the faulty program;
- right cause first: the worst of these, the first of them, is a name of the cause (`causes.py` has the table);
- false alarm: it says any such thing of a healthy program; false error: one that it calls an error or a failure.

A tool that raises has said nothing. Intervals are Wilson's, 95 %. Tools that are not installed are told.
"""

import argparse
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import torch

from causes import CAUSES, named
from suite import Case, faulty, repaired, suspicious
from tools import TOOLS, Alarm, seeded

FACTOR, SEEDS = 1.5, (0, 1, 2)


# --- what each tool says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """What one tool said of one program."""

    case: Case
    said: tuple[Alarm, ...]
    seconds: float
    raised: str = ""

    @property
    def alarms(self) -> list[Alarm]:
        return [alarm for alarm in self.said if alarm.severity != "note"]

    @property
    def found(self) -> bool:
        return bool(self.alarms)

    def right(self, tool: str) -> bool:
        return self.found and named(tool, self.case.cause or "", self.alarms[0].code)

    @property
    def error(self) -> bool:
        return any(alarm.severity == "error" for alarm in self.alarms)

    def __str__(self) -> str:
        codes = list(dict.fromkeys(alarm.code for alarm in self.alarms))
        notes = list(dict.fromkeys(alarm.code for alarm in self.said if alarm.severity == "note"))
        alarms = ", ".join(codes[:4]) + (f" and {len(codes) - 4} more" if len(codes) > 4 else "")
        return self.raised or alarms or (f"(notes {', '.join(notes)})" if notes else "")


def ask(tool: str, case: Case) -> Answer:
    program = case.fresh()
    start = time.perf_counter()
    try:
        said, raised = tuple(seeded(TOOLS[tool], program)), ""
    except Exception as error:
        said, raised = (), f"raised {type(error).__name__}: {' '.join(str(error).split())[:90]}"
    return Answer(case, said, time.perf_counter() - start, raised)


def wilson(k: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share."""
    if not n:
        return 0.0, 1.0
    z, p = 1.959964, k / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


def share(k: int, n: int) -> str:
    low, high = wilson(k, n)
    return f"{k}/{n} = {100 * k / max(n, 1):.0f} % ({100 * low:.0f} to {100 * high:.0f})"


def installed(tool: str) -> str:
    try:
        return version(tool)
    except PackageNotFoundError:
        return ""


def answers(tools: Sequence[str], cases: Sequence[Case]) -> dict[str, list[Answer]]:
    said: dict[str, list[Answer]] = {tool: [] for tool in tools}
    for i, case in enumerate(cases):
        print(f"\r{i + 1}/{len(cases)} {case.name:60}", end="", file=sys.stderr, flush=True)
        for tool in tools:
            said[tool].append(ask(tool, case))
    print(file=sys.stderr)
    return said


def compare(tools: Sequence[str], only: Sequence[str]) -> None:
    ill, twins, odd = (chosen(group, only) for group in (faulty(), repaired(), suspicious()))
    well = [*twins, *odd]
    for tool in [tool for tool in tools if not installed(tool)]:
        print(f"{tool}: not installed")
    tools = [tool for tool in tools if installed(tool)]
    for tool in tools:  # what it imports is no part of its time
        ask(tool, (ill or well)[0])
    of_ill, of_well = answers(tools, ill), answers(tools, well)
    causes = len({case.cause for case in ill})
    print(
        f"{len(ill)} faulty programs of {causes} causes; {len(well)} healthy ones: {len(twins)} repaired twins of these"
    )
    print(f"and {len(odd)} that look wrong and are not. Wilson intervals, 95 %. Seconds are medians of a program.\n")
    print(f"{'':22}{'found':32}{'right cause first':32}{'false alarms':32}{'false errors':32}{'seconds':>8}  raised")
    for tool in tools:
        sick, sound = of_ill[tool], of_well[tool]
        row = [
            share(sum(a.found for a in sick), len(sick)),
            share(sum(a.right(tool) for a in sick), len(sick)),
            share(sum(a.found for a in sound), len(sound)),
            share(sum(a.error for a in sound), len(sound)),
        ]
        took, raised = median(a.seconds for a in sick + sound), sum(bool(a.raised) for a in sick + sound)
        name = f"{tool} {installed(tool)}"
        print(f"{name:22}" + "".join(f"{cell:32}" for cell in row) + f"{took:8.2f}  {raised}")
    for title, group in (("the repaired twins", twins), ("programs that look wrong and are not", odd)):
        names = {case.name for case in group}
        print(f"\nfalse alarms on {title}:")
        for tool in tools:
            alarmed = [a.found for a in of_well[tool] if a.case.name in names]
            print(f"  {tool:16}{share(sum(alarmed), len(alarmed))}")
    by_kind(tools, of_ill)
    print("\nEvery faulty program: '+' the right cause first, 'o' found, '-' missed.\n")
    width = max(len(case.name) for case in ill) + 2 if ill else 2
    print(" " * 5 * len(tools), "  ".join(f"{i + 1} = {tool}" for i, tool in enumerate(tools)))
    for i, case in enumerate(ill):
        marks = ["+" if of_ill[t][i].right(t) else "o" if of_ill[t][i].found else "-" for t in tools]
        print("  ".join(marks), f"  {case.name:{width}}{case.cause:24}{of_ill[tools[0]][i]}")
    for tool in tools:
        print(f"\nFalse alarms of {tool}:")
        for answer in of_well[tool]:
            if answer.found or answer.raised:
                print(f"  {answer.case.name:{width}}{answer}")


def by_kind(tools: Sequence[str], of_ill: dict[str, list[Answer]]) -> None:
    print("\nfound, by kind of fault:")
    kinds = list(dict.fromkeys(a.case.name.split("/")[0] for a in of_ill[tools[0]]))
    for tool in tools:
        cells = []
        for kind in kinds:
            found = [a.found for a in of_ill[tool] if a.case.name.startswith(kind + "/")]
            cells.append(f"{kind} {sum(found)}/{len(found)}")
        print(f"  {tool:16}" + "  ".join(f"{cell:14}" for cell in cells))


# --- what each fault does --------------------------------------------------------------------------------------------


def trained(case: Case, seed: int) -> tuple[float, float]:
    """The error before and after all steps; infinite where it is no number or a step raises."""
    program = case.fresh(seed)
    before = program.error()
    try:
        for _ in range(program.steps):
            program.train_step()
        after = program.error()
    except (RuntimeError, ValueError):
        after = math.inf
    return before, after if math.isfinite(after) else math.inf


def symptoms(only: Sequence[str]) -> bool:
    """Trains all programs; false where one does not do what it says."""
    real = True
    print(f"error after training of the fault and of its repair, seeds {SEEDS}; it counts from {FACTOR} times on\n")
    pairs = list(zip(chosen(faulty(), only), chosen(repaired(), only), strict=True))
    for ill, well in pairs:
        errors = [(trained(ill, seed)[1], trained(well, seed)[1]) for seed in SEEDS]
        factor = min(a / max(b, 1e-3) for a, b in errors)
        real &= factor >= FACTOR
        mark = " " if factor >= FACTOR else "!"
        cells = "  ".join(f"{a:8.3g} {b:8.3g}" for a, b in errors)
        print(f"{mark} {ill.name:46}{ill.cause:24}{cells}  x {factor:.3g}", flush=True)
    print(f"\nlook wrong and are not: error before and after training; they count from {FACTOR} times better on\n")
    for case in chosen(suspicious(), only):
        errors = [trained(case, seed) for seed in SEEDS[:2]]
        factor = min(a / max(b, 1e-3) if math.isfinite(b) else 0.0 for a, b in errors)
        real &= factor >= FACTOR
        mark = " " if factor >= FACTOR else "!"
        print(
            f"{mark} {case.name:70}" + "  ".join(f"{a:8.3g} {b:8.3g}" for a, b in errors) + f"  x {factor:.3g}",
            flush=True,
        )
    return real


def chosen(cases: Sequence[Case], only: Sequence[str]) -> list[Case]:
    return [case for case in cases if not only or any(part in case.name for part in only)]


def machine() -> Iterator[str]:
    yield f"$ python {' '.join(['benchmarks/faults', *sys.argv[1:]])}"
    yield f"Python {platform.python_version()}, torch {torch.__version__}, {platform.system()} {platform.machine()}"
    yield f"{processor()}, {os.cpu_count()} cores, one thread; {time.strftime('%Y-%m-%d')}"
    yield ""


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown processor"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symptoms", action="store_true", help="train all programs instead of asking tools about them")
    parser.add_argument("--tools", nargs="+", default=list(TOOLS), choices=list(TOOLS))
    parser.add_argument("--only", nargs="+", default=(), help="programs whose name contains one of these")
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    assert all(case.cause in CAUSES for case in faulty())
    print("\n".join(machine()), flush=True)
    if args.symptoms:
        return 0 if symptoms(args.only) else 1
    compare(args.tools, args.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
