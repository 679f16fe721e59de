"""What the scripts of this directory share: arguments, claims and how they are judged, the page that is written.

A script states its claims in parts. A part has a criterion that was fixed before anything was measured, and holds or
does not; a claim is reproduced where all its parts hold, partly where some do. Parts about differences over seeds are
judged by the 95 % interval of the study room, so that a claim whose parts must all hold needs no correction for their
number.
"""

import argparse
import json
import os
import platform
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from gainstage.study import Pool, Progress, Results, Serial, Study
from gainstage.study._statistics import mean_interval, paired

COLUMNS = 80
RESULTS = Path(__file__).parent / "results"
NO = "no: the criterion is not met, also where the seeds are too few to tell."
Reproduced = Literal["yes", "partly", "no"]


@dataclass(frozen=True)
class Part:
    """One criterion, fixed before measuring, and what was found.

    Attributes:
        criterion: "with 40 layers, 1.76 is better than 1.0 by more than 0.3".
        measured: the numbers, in a few words.
        holds: whether they meet the criterion.
    """

    criterion: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Claim:
    """What a paper says, in our words, and the parts by which it is judged."""

    text: str
    parts: tuple[Part, ...]

    @property
    def reproduced(self) -> Reproduced:
        """`"yes"` where all parts hold, `"no"` where none does, else `"partly"`."""
        held = sum(part.holds for part in self.parts)
        return "yes" if held == len(self.parts) else "partly" if held else "no"


def larger(criterion: str, a: Sequence[float], b: Sequence[float], *, by: float = 0.0, resolution: float = 0.0) -> Part:
    """Holds where the 95 % interval of the mean of `a - b`, one value a seed, lies above `by`."""
    found = paired(a, b, resolution=resolution)
    return Part(criterion, told(found.difference, found.low, found.high), found.low > by)


def alike(criterion: str, a: Sequence[float], b: Sequence[float], *, within: float, resolution: float = 0.0) -> Part:
    """Holds where the 95 % interval of the mean of `a - b`, one value a seed, lies within plus and minus `within`."""
    found = paired(a, b, resolution=resolution)
    return Part(criterion, told(found.difference, found.low, found.high), max(-found.low, found.high) <= within)


def between(criterion: str, values: Sequence[float], low: float, high: float) -> Part:
    """Holds where the 95 % interval of the mean of `values`, one a seed, lies between `low` and `high`."""
    mean, least, most = mean_interval(values)
    return Part(criterion, told(mean, least, most), low <= least and most <= high)


def told(mean: float, low: float, high: float) -> str:
    """A mean and its interval."""
    return f"{_short(mean)} ({_short(low)} to {_short(high)})"


def arguments(doc: str | None, *, seeds: int = 5, argv: Sequence[str] | None = None) -> argparse.Namespace:
    """`seeds`, `workers` and `store`, read from the command line; `doc` is what `--help` shows."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=seeds, help=f"runs of every arm, 2 or more; {seeds} by default")
    parser.add_argument("--workers", type=int, help="processes; one a core by default, 0: none beside this one")
    parser.add_argument("--store", type=Path, help="file that remembers what is done; in memory by default")
    asked = parser.parse_args(argv)
    if asked.seeds < 2:
        parser.error(f"--seeds is {asked.seeds}: intervals need 2 or more")
    return asked


def executor(workers: int | None) -> Executor:
    """A `Pool` of so many processes, `Serial()` for 0."""
    return Serial() if workers == 0 else Pool(workers)


def run(study: Study, asked: argparse.Namespace) -> Results:
    """Carry out a study as `asked`, with its progress on the error output."""
    began = time.monotonic()

    def show(progress: Progress) -> None:
        spent = time.monotonic() - began
        line = f"{progress.stage}: {progress.done} of {progress.total} networks, {spent:.0f} s"
        print(f"\r{line:<60}", end="", file=sys.stderr, flush=True)

    with executor(asked.workers) as workers:
        results = study.run(executor=workers, store=asked.store, on_done=[show])
    print(file=sys.stderr)
    return results


def runs(results: Results) -> list[dict[str, Any]]:
    """A row a run for the JSON file, without what differs from machine to machine."""
    return [{k: v for k, v in row.items() if k not in ("seconds", "engine")} for row in results.rows()]


def scores(results: Results, **setting: Any) -> tuple[float, ...]:
    """Test scores, one a seed, of the one arm whose factors have these levels, `depth=10, norm=None`."""
    return results.arms[_only(results, setting)].scores


def _only(results: Results, setting: Mapping[str, Any]) -> int:
    fits = [
        i for i, own in enumerate(results.settings) if all(own.get(name) == value for name, value in setting.items())
    ]
    if len(fits) != 1:
        raise LookupError(f"{len(fits)} arms fit {dict(setting)}, expected one of: {', '.join(results.labels)}")
    return fits[0]


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """Aligned columns, words to the left and numbers to the right; floats with three decimals."""
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    number = [all(_is_number(row[j]) for row in cells[1:]) for j in range(len(header))]

    def line(row: Sequence[str]) -> str:
        each = (f"{text:>{w}}" if right else f"{text:<{w}}" for text, w, right in zip(row, widths, number, strict=True))
        return "  ".join(each).rstrip()

    lines = [line(cells[0]), "  ".join("-" * w for w in widths), *map(line, cells[1:])]
    return "\n".join(textwrap.wrap(caption, COLUMNS) + lines)


def judged(claims: Iterable[Claim]) -> str:
    """`paper's claim | measured | reproduced?`: a line for each claim, and below it one for each of its parts."""
    lines = [_row("paper's claim, and our criteria", "measured", "reproduced?"), _rule()]
    for claim in claims:
        lines.append(_row(claim.text, "", claim.reproduced))
        lines += [_row(part.criterion, part.measured, "yes" if part.holds else "no", sign="- ") for part in claim.parts]
        lines.append(_rule())
    return "\n".join([*lines, NO])


def machine() -> str:
    """What this runs on: processor, cores that may be used, torch."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_processor()}, {cores} cores, torch {torch.__version__}, Python {platform.python_version()}"


def write(
    name: str,
    doc: str | None,
    *,
    results: Iterable[Results],
    sections: Sequence[str],
    claims: Sequence[Claim],
    data: Mapping[str, Any],
    figure: Any = None,
    folder: Path | None = None,
) -> str:
    """Print the page of a reproduction and write `results/NAME.txt`, `.json` and, with a figure, `.svg`.

    Args:
        name: of the script.
        doc: its docstring; the first line is the title.
        results: all that were used, for the number of networks and the time they took.
        sections: tables and sentences, in this order.
        claims: judged, below them.
        data: JSON values: the numbers of the tables and figures.
        figure: of matplotlib.
        folder: where the files go, instead of `studies/results`.

    Returns:
        The page.
    """
    used = list(results)
    outcomes = [outcome for each in used for arm in each.arms for outcome in arm.outcomes]
    spent = sum(outcome.seconds for outcome in outcomes)
    what = f"{', '.join(dict.fromkeys(each.data for each in used))}: {len(outcomes)} networks" if used else ""
    head = [f"{(doc or name).splitlines()[0]}", f"python studies/{name}.py", machine()]
    head += [f"{what} reported, trained in {spent:.0f} s of workers (tuning not counted)"] if used else []
    page = "\n\n".join(["\n".join(head), *sections, judged(claims)]) + "\n"
    folder = RESULTS if folder is None else folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.txt").write_text(page)
    verdicts = [
        {"claim": c.text, "reproduced": c.reproduced, "parts": [vars(part) for part in c.parts]} for c in claims
    ]
    (folder / f"{name}.json").write_text(_json(_plain({"claims": verdicts} | dict(data))))
    if figure is not None:
        _save(figure, folder / f"{name}.svg")
    print(page)
    return page


def figure(draw: Callable[[Any], None], *, width: float = 6.4, height: float = 4.2) -> Any:
    """A figure that `draw(axes)` has drawn on, or None where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no figure: pip install "gainstage[plot]"', file=sys.stderr)
        return None
    made = Figure(figsize=(width, height), layout="constrained")
    draw(made.add_subplot())
    return made


def _save(figure: Any, path: Path) -> None:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": path.stem, "svg.fonttype": "none"}):  # the same bytes every time
        figure.savefig(path, metadata={"Date": None})


def _row(claim: str, measured: str, answer: str, sign: str = "") -> str:
    left = textwrap.wrap(claim, 40, initial_indent=sign, subsequent_indent=" " * len(sign)) or [""]
    middle = textwrap.wrap(measured, 23) or [""]
    right = [answer]
    count = max(len(left), len(middle))
    columns = [column + [""] * (count - len(column)) for column in (left, middle, right)]
    return "\n".join(f"{a:<40} | {b:<23} | {c}".rstrip() for a, b, c in zip(*columns, strict=True))


def _rule() -> str:
    return "-" * 40 + "-+-" + "-" * 23 + "-+-" + "-" * 11


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cell(value: object) -> str:
    return _short(value) if isinstance(value, float) else "" if value is None else str(value)


def _is_number(text: str) -> bool:
    return not text or text.lstrip("+-").replace(".", "", 1).replace("e-", "", 1).isdigit() or text in ("inf", "-inf")


def _short(value: float) -> str:
    if value != value or abs(value) == float("inf"):
        return str(value)
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _json(values: Mapping[str, Any]) -> str:
    """A line for each entry of a list, so that a change of one run is a change of one line."""
    parts = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n  " + ",\n  ".join(json.dumps(each, ensure_ascii=False) for each in value) + "\n ]"
        else:
            text = json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _plain(value: Any) -> Any:
    """JSON values; floats are rounded, those that are not finite become strings."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if abs(value) < float("inf") else str(value)
    return value
