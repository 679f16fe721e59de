"""Causes injected at a known step into healthy trainings: found, rightly named, how early; and alarms on healthy ones.

    python benchmarks/watch_faults.py                   all of it, into watch_faults.txt and watch_healthy.txt
    python benchmarks/watch_faults.py --part faults     one of the two
    python benchmarks/watch_faults.py --part limits     what healthy trainings reach of what limits are set on
    python benchmarks/watch_faults.py --only NAME       causes and nets whose names hold NAME, printed

A cause counts as found where a finding above a note appears at or after its step (a note, where its own rule gives no
more), and as right where the first of the report has its code. Limits were set while looking at the nets `TUNED`; the
others judge them.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import gainstage as gs
from gainstage.watch.rules.rates import ratios
from gainstage.watch.rules.settings import pull
from watched.causes import CAUSES, Cause, Training
from watched.nets import JUDGED, NETS, TUNED, Experts, Net

STEPS, AT, EVERY = 240, 150, 10
HEALTHY = (1250, 2)  # steps, seeds


@dataclass
class Run:
    """What a training gave: its losses, the findings, and the step of the report in which each came."""

    losses: list[float]
    findings: list[gs.Finding]
    first: dict[str, int]
    history: gs.watch.History


def train(net: Net, cause: Cause | None, steps: int, seed: int = 0, half: bool = False) -> Run:
    torch.manual_seed(seed)
    model = net.build()
    training = Training(model, net.optimizer(model))
    generator = torch.Generator().manual_seed(seed)
    scaler = torch.amp.GradScaler("cpu", enabled=half)
    losses = []
    with gs.Watch(model, training.optimizer, every=EVERY) as watch:
        for step in range(1, steps + 1):
            training.step = step
            x, y = net.batch(generator)
            if cause is not None and step == AT:
                cause.start(training)
            if cause is not None and step >= AT:
                x, y = cause.batch(training, step - AT, (x, y))
            model.train(not training.held.get("evaluation", False))
            training.optimizer.zero_grad()
            with torch.autocast("cpu", torch.float16, enabled=half):
                loss = net.loss(model(x), y)
            if isinstance(model, Experts):
                loss = loss + 0.05 * model.balance
            scaler.scale(loss).backward()
            scaler.step(training.optimizer)
            scaler.update()
            losses.append(loss.item())
            if cause is not None and cause.validates and step % 10 == 0:
                watch.log(validation=validated(net, model))
    return Run(losses, list(watch.report.findings), watch.first_seen, watch.history)


@torch.no_grad()
def validated(net: Net, model: torch.nn.Module) -> float:
    """The loss of four batches that no training has seen."""
    generator = torch.Generator().manual_seed(77)
    model.eval()
    losses = [float(net.loss(model(x), y)) for x, y in (net.batch(generator) for _ in range(4))]
    model.train()
    return mean(losses)


def shows(run: Run, healthy: Run) -> int | None:
    """Steps from the injection until the loss, smoothed over ten steps, leaves that of the twin for good."""
    noise = torch.tensor(healthy.losses[AT - 60 : AT]).std().item()
    for step in range(AT, len(run.losses) + 1):
        ours, other = run.losses[step - 10 : step], healthy.losses[step - 10 : step]
        if not mean(ours) <= 1.1 * mean(other) + 2 * noise:
            return step - AT
    return None


def percent(part: int, whole: int) -> str:
    return f"{part}/{whole} ({100 * part / max(whole, 1):.0f} %)"


Row = tuple[str, str, bool, bool, int | None, int | None, str]


def injected(only: str) -> list[Row]:
    """A row for every cause in every net that can have it."""
    rows: list[Row] = []
    for name, net in NETS.items():
        twins: dict[bool, Run] = {}
        for title, cause in CAUSES.items():
            if (only and only not in title and only not in name) or not cause.fits(net.build()):
                continue
            if cause.half not in twins:
                twins[cause.half] = train(net, None, STEPS, half=cause.half)
            run = train(net, cause, STEPS, half=cause.half)
            told = (
                ("note", "warning", "error")
                if gs.watch.WATCHED[cause.code].severity == "note"
                else ("warning", "error")
            )
            above = [f for f in run.findings if f.severity in told and run.first.get(f.code, STEPS) >= AT]
            right = bool(above) and above[0].code == cause.code
            after = min((run.first.get(f.code, STEPS) - AT for f in above), default=None)
            codes = " ".join(f.code for f in run.findings)
            rows.append((name, title, bool(above), right, after, shows(run, twins[cause.half]), codes))
            print(line(rows[-1]), flush=True)
    return rows


def line(row: Row) -> str:
    name, title, found, right, after, seen, codes = row
    start = f"{name:<12}{title:<20}{'found' if found else 'MISSED':<8}{'right' if right else 'WRONG':<7}"
    return (
        f"{start}after {'-' if after is None else after:>3}  "
        f"loss shows it after {'-' if seen is None else seen:>3}  {codes}"
    )


def row_of(text: str) -> Row | None:
    """A printed row as it was."""
    words = text[32:].split()
    if text[:12].strip() not in NETS or len(words) < 9:
        return None
    after, seen = (None if word == "-" else int(word) for word in (words[3], words[8]))
    return (
        text[:12].strip(), text[12:32].strip(), words[0] == "found", words[1] == "right", after, seen,
        " ".join(words[9:]),
    )  # fmt: skip


def shares(rows: list[Row]) -> list[str]:
    lines = []
    for title, names in (("limits set on", TUNED), ("judged on", JUDGED), ("all", (*TUNED, *JUDGED))):
        mine = [row for row in rows if row[0] in names]
        found, right = sum(row[2] for row in mine), sum(row[3] for row in mine)
        leads = [(row[5] if row[5] is not None else STEPS - AT) - row[4] for row in mine if row[4] is not None]
        told = f"{title:<14}{', '.join(names):<62} found {percent(found, len(mine))}, right {percent(right, len(mine))}"
        lines.append(told + (f", median lead {median(leads):g} steps" if leads else ""))
    return lines


def healthy(only: str) -> list[str]:
    """Every alarm of the trainings that nothing happens to, and their number."""
    steps, alarms = 0, []
    for name, net in NETS.items():
        if only not in name:
            continue
        for seed in range(1, 1 + HEALTHY[1]):
            run = train(net, None, HEALTHY[0], seed)
            steps += HEALTHY[0]
            found = [f for f in run.findings if f.severity != "note"]
            alarms += [f"{name} seed {seed}: {f.code} {f.where}: {f.measured}" for f in found]
            print(name, seed, *alarms[-len(found) :] if found else ("silent",), flush=True)
    told = f"healthy: {steps:,} steps, {len(alarms)} alarms, {len(alarms) * 10_000 / steps:.2f} per 10,000 steps"
    print(told)
    return [told, *alarms]


def limits() -> list[str]:
    """Of every net without a cause: first step, share of decay, growth of the signal, drift of stored statistics."""
    lines = []
    for name, net in NETS.items():
        history = train(net, None, STEPS).history
        sizes = ratios(history)[1]
        level = history.curves("sites", "rms")
        growth = np.nanmax(level.values / np.maximum(level.first().max(0), 1e-2))
        share = max(pull(r) for r in history.readings if r.parameters)
        lines.append(f"{name:<12}first step {sizes[0]:.3f}, decay {share:.3f} of a step, signal {growth:.1f} times")
        shift, ratio = (history.curves("norms", q) for q in ("shift", "ratio"))
        if late := list(np.flatnonzero(shift.steps > 50)):
            low, high = ratio.values[late].min(), ratio.values[late].max()
            lines[-1] += f", means {shift.values[late].max():.2f} away, variances {low:.2f} to {high:.2f} times"
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--part", choices=("faults", "healthy", "limits"))
    parser.add_argument("--join", nargs="*", type=Path, help="what runs with --only have printed, into the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    head = f"{STEPS} steps, the cause comes at step {AT}, a report every {EVERY} steps; torch {torch.__version__}"
    print(head)
    results = Path(__file__).parent / "results"
    if given.part == "limits":
        (results / "watch_limits.txt").write_text("\n".join([head, "", *limits()]) + "\n")
        return
    if given.join:
        read = [row for path in given.join for text in path.read_text().splitlines() if (row := row_of(text))]
        rows = list({row[:2]: row for row in read}.values())
    elif given.part != "healthy":
        rows = injected(given.only)
    else:
        rows = []
    if rows:
        told = [*map(line, rows), "", *shares(rows)]
        print(*shares(rows), sep="\n")
        if not given.only:
            (results / "watch_faults.txt").write_text("\n".join([head, "", *told]) + "\n")
    if given.part != "faults" and not given.join:
        told = healthy(given.only)
        if not given.only:
            (results / "watch_healthy.txt").write_text("\n".join([head, "", *told]) + "\n")


if __name__ == "__main__":
    main()
