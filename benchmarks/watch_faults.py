"""Causes injected at a known step into healthy trainings: found, rightly named, how early; and alarms on healthy ones.

    python benchmarks/watch_faults.py                   all of it, into watch_faults.txt and watch_healthy.txt
    python benchmarks/watch_faults.py --part faults     one of the two
    python benchmarks/watch_faults.py --only NAME       causes and nets whose names hold NAME, printed

A cause counts as found where a finding above a note appears at or after its step, and as right where the first of the
report has its code. Limits were set while looking at the nets `TUNED`; the others judge them.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch

sys.path.insert(0, str(Path(__file__).parent))
import gainstage as gs
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
    return Run(losses, list(watch.report.findings), watch.first_seen)


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


def injected(only: str) -> list[str]:
    """A line for every cause in every net that can have it, and the shares."""
    lines: list[str] = []
    table: list[tuple[str, bool, bool, int | None, int | None]] = []
    for name, net in NETS.items():
        twins: dict[bool, Run] = {}
        for title, cause in CAUSES.items():
            if (only and only not in title and only not in name) or not cause.fits(net.build()):
                continue
            if cause.half not in twins:
                twins[cause.half] = train(net, None, STEPS, half=cause.half)
            run = train(net, cause, STEPS, half=cause.half)
            above = [f for f in run.findings if f.severity != "note" and run.first.get(f.code, STEPS) >= AT]
            right = bool(above) and above[0].code == cause.code
            after = min((run.first.get(f.code, STEPS) - AT for f in above), default=None)
            seen = shows(run, twins[cause.half])
            table.append((name, bool(above), right, after, seen))
            line = f"{name:<12}{title:<20}{'found' if above else 'MISSED':<8}{'right' if right else 'WRONG':<7}"
            line += f"after {'-' if after is None else after:>3}  "
            line += f"loss shows it after {'-' if seen is None else seen:>3}  {' '.join(f.code for f in run.findings)}"
            print(line, flush=True)
            lines.append(line)
    lines.append("")
    for title, names in (("limits set on", TUNED), ("judged on", JUDGED), ("all", (*TUNED, *JUDGED))):
        mine = [row for row in table if row[0] in names]
        found, right = sum(row[1] for row in mine), sum(row[2] for row in mine)
        leads = [(row[4] if row[4] is not None else STEPS - AT) - row[3] for row in mine if row[3] is not None]
        line = f"{title:<14}{', '.join(names):<62} found {percent(found, len(mine))}, right {percent(right, len(mine))}"
        line += f", median lead {median(leads):g} steps" if leads else ""
        print(line)
        lines.append(line)
    return lines


def healthy() -> list[str]:
    """Every alarm of the trainings that nothing happens to, and their number."""
    steps, alarms = 0, []
    for name, net in NETS.items():
        for seed in range(1, 1 + HEALTHY[1]):
            run = train(net, None, HEALTHY[0], seed)
            steps += HEALTHY[0]
            found = [f for f in run.findings if f.severity != "note"]
            alarms += [f"{name} seed {seed}: {f.code} {f.where}: {f.measured}" for f in found]
            print(name, seed, *alarms[-len(found) :] if found else ("silent",), flush=True)
    line = f"healthy: {steps:,} steps, {len(alarms)} alarms, {len(alarms) * 10_000 / steps:.2f} per 10,000 steps"
    print(line)
    return [line, *alarms]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--part", choices=("faults", "healthy"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    head = f"{STEPS} steps, the cause comes at step {AT}, a report every {EVERY} steps; torch {torch.__version__}"
    print(head)
    for part, run in (("faults", lambda: injected(given.only)), ("healthy", healthy)):
        if given.part in (None, part):
            lines = run()
            if not given.only:
                path = Path(__file__).parent / "results" / f"watch_{part}.txt"
                path.write_text("\n".join([head, "", *lines]) + "\n")


if __name__ == "__main__":
    main()
