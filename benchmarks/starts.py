"""Which start trains? Thirty-eight families of networks, each arm at its own best of four learning rates.

    python benchmarks/starts.py                     prints the README's table
    python benchmarks/starts.py --row siren --arm own --arm auto

Every arm gets the same data, batches, optimizer (Adam, no warm-up) and number of steps. Its learning rate is that of
the four with the best held-out loss at seed 0; the table shows that loss there, mean and 95 % t interval of the seeds.
`own` is the start that the author of the network chose, `torch` what torch draws for every weight wherever it stands,
`classical` the better of Xavier's and He's in hindsight. Families with a star were looked at while the rules of `auto`
were chosen; the others were first run afterwards. `code` is the planner that the row's `auto` is of, as
`git rev-parse --short HEAD:src/gainstage/plan` gives it.
"""

import argparse
import json
import math
import subprocess
import sys
import warnings
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
CLASSICAL = ("xavier_normal", "he_normal")
ARMS = ("own", "torch", *CLASSICAL, "auto", "auto+calibrate", "auto+race", "theory")
SHOWN = ("own", "torch", "classical", "auto", "auto+calibrate", "auto+race")
_T95 = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78}  # of Student's t with n - 1 degrees of freedom
Result = dict[str, float | str]


def started(row: str, arm: str, seed: int) -> object:
    """The task of a family at one seed, started by an arm."""
    import torch

    import gainstage as gs
    from families import FAMILIES

    torch.manual_seed(seed)
    task = FAMILIES[row].build()
    scheme, _, more = arm.partition("+")
    if scheme != "own":
        inputs, target = task.batch(0)
        how = {"calibrate": more == "calibrate"} | ({"race": 30} if more == "race" and not task.objective else {})
        loss = {} if task.objective else {"loss": task.loss, "target": target}
        gs.initialize(task.model, inputs, seed=seed, scheme=scheme, **loss, **how)
    return task


def trained(row: str, arm: str, rate: float, seed: int) -> float:
    """Train one network once; its held-out score."""
    import torch

    from families import FAMILIES

    family, task = FAMILIES[row], started(row, arm, seed)
    torch.manual_seed(seed)
    parameters = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for step in range(family.steps):
        loss = task.loss_of(task.batch(1000 * seed + step))
        if not math.isfinite(float(loss)):
            return math.inf
        optimizer.zero_grad()
        loss.backward()
        if family.clip:
            torch.nn.utils.clip_grad_norm_(parameters, family.clip)
        optimizer.step()
    return task.score()


def runs(row: str, arm: str, seeds: int) -> list[Result]:
    """All trials of one arm on one family."""
    import torch

    from families import FAMILIES

    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rates = FAMILIES[row].rates
    found = {(rate, 0): trained(row, arm, rate, 0) for rate in rates}
    best = min(rates, key=lambda rate: found[rate, 0])
    found |= {(best, seed): trained(row, arm, best, seed) for seed in range(1, seeds)}
    return [{"row": row, "arm": arm, "rate": r, "seed": s, "score": score} for (r, s), score in found.items()]


def scores(results: list[Result], row: str, arm: str) -> list[float]:
    """Of every seed at the rate that was best at seed 0."""
    mine = [r for r in results if (r["row"], r["arm"]) == (row, arm)]
    first = {r["rate"]: r["score"] for r in mine if r["seed"] == 0}
    best = min(first, key=lambda rate: first[rate])
    return [r["score"] for r in sorted(mine, key=lambda r: r["seed"]) if r["rate"] == best]


def interval(values: list[float]) -> float:
    """Half of the 95 % t interval of a mean."""
    return _T95[len(values)] * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def arms_of(results: list[Result], row: str) -> dict[str, list[float]]:
    """The scores of every arm, and of the best classical one."""
    names = {r["arm"] for r in results if r["row"] == row}
    found = {name: scores(results, row, name) for name in ARMS if name in names}
    if classical := [found[name] for name in CLASSICAL if name in found]:
        found["classical"] = min(classical, key=mean)
    return found


def missed(arms: dict[str, list[float]], arm: str = "auto") -> str:
    """Which other start is better than an arm by more than the interval of the differences over seeds; or none."""
    best = min((name for name in ("own", "torch", "classical") if name in arms), key=lambda name: mean(arms[name]))
    apart = [a - b for a, b in zip(arms[arm], arms[best], strict=True)]
    if not all(map(math.isfinite, apart)):
        return best if mean(arms[arm]) > mean(arms[best]) else ""
    return best if mean(apart) > interval(apart) else ""


def planner() -> str:
    """Which planner this is: the short name of its folder in git, with a plus where files of it were changed."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()

    name = git("rev-parse", "--short", "HEAD:src/gainstage/plan")
    return name + "+" * bool(git("status", "--porcelain", "--", "../src/gainstage/plan"))


def table(results: list[Result]) -> str:
    """The README's table."""
    from families import FAMILIES

    shown = [name for name in SHOWN if name == "classical" or any(r["arm"] == name for r in results)]
    lines = ["| family | " + " | ".join(shown) + " | better than `auto` | code |", "|---" * (len(shown) + 3) + "|"]
    for row, family in FAMILIES.items():
        arms = arms_of(results, row)
        if "auto" in arms:
            cells = [f"{mean(v):.3g} ± {interval(v):.2g}" if (v := arms.get(name)) else "" for name in shown]
            star = "\\*" if family.tuned else ""
            code = next(
                (r["code"] for r in results if (r["row"], r["arm"]) == (row, "auto") and "code" in r), "earlier"
            )
            lines.append(f"| {family.title}{star} | " + " | ".join(cells) + f" | {missed(arms)} | {code} |")
    return "\n".join(lines)


def main() -> None:
    from families import FAMILIES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(FAMILIES), help="only these rows")
    parser.add_argument("--arm", action="append", choices=ARMS, help="only these arms")
    parser.add_argument("--tuned", action="store_true", help="only the rows that rules were chosen on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="run what is stored as well")
    parser.add_argument("--store", type=Path, default=HERE / "results" / "starts.json")
    options = parser.parse_args()
    results: list[Result] = json.loads(options.store.read_text()) if options.store.exists() else []
    rows = options.row or [row for row, family in FAMILIES.items() if family.tuned or not options.tuned]
    todo = [(row, arm) for row in rows for arm in options.arm or ARMS]
    done = set() if options.again else {(r["row"], r["arm"]) for r in results}
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for r in results:
        groups[r["row"], r["arm"]].append(r)
    todo, code = [pair for pair in todo if pair not in done], planner()
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        jobs = {pair: pool.submit(runs, *pair, options.seeds) for pair in todo}
        for count, (pair, job) in enumerate(jobs.items(), 1):
            groups[pair] = [result | {"code": code} for result in job.result()]
            results = [r for found in groups.values() for r in found]
            best = scores(results, *pair)
            print(f"{count}/{len(jobs)}  {' '.join(pair)}  {mean(best):.4g}", file=sys.stderr, flush=True)
            options.store.write_text(json.dumps(results, indent=0) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
