"""What a study costs: its trials against a plain loop over them, and the default comparison as a whole.

    python benchmarks/study.py [--rounds 5] [--steps 200] [--no-default]

The trials are 32 MLPs of width 64, four inits times eight seeds, on digits. The loop is the one everybody writes: for
each network `gs.initialize`, then `torch.optim` on batches of 64, with the validation loss at the same steps. Loop and
engine take turns, and the ratio is that of the medians. The loop may use all cores for its matrices; the engine runs
its tasks in one process on one thread, and then on a pool of one process a core.
"""

import argparse
import os
import platform
import time

import torch
import torch.nn.functional as F

import gainstage as gs
from gainstage.study import Pool, Study, Trial, grid, load
from gainstage.study._build import build
from gainstage.study._engine import run, tasks
from gainstage.study._textbook import textbook
from gainstage.train import minibatches
from timing import in_turn

LOOKS = 10
INITS = ["xavier_normal", "he_normal", "lecun_normal", "auto"]


def loop(trials: list[Trial]) -> None:
    data = load("digits")
    for trial in trials:
        model = build(trial.arm, data)
        gs.initialize(model, data.train.x[:256], seed=trial.seed, scheme=trial.arm.init)
        optimizer = torch.optim.Adam(model.parameters(), lr=float(trial.arm.lr))
        batches = minibatches(*data.train, batch_size=64, steps=trial.steps, seed=trial.seed)
        for number, (x, y) in enumerate(batches, 1):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            if number % (trial.steps // trial.looks) == 0:
                with torch.no_grad():
                    F.cross_entropy(model.eval()(data.validation.x), data.validation.y)
                model.train()


def engine(trials: list[Trial]) -> None:
    for task in tasks(trials, load("digits")):
        run(task)


def on_a_pool(pool: Pool, trials: list[Trial]) -> None:
    for future in [pool.submit(run, task) for task in tasks(trials, load("digits"))]:
        future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--no-default", action="store_true", help="leave out the default comparison")
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {torch.get_num_threads()} threads")
    arms = grid(init=INITS, depth=2, width=64, lr=1e-3)
    trials = [Trial(arm, seed, options.steps, LOOKS, "digits") for arm in arms for seed in range(8)]
    with Pool() as pool:
        on_a_pool(pool, trials)  # the workers import torch
        peer, alone, pooled = in_turn(
            options.rounds, lambda: loop(trials), lambda: engine(trials), lambda: on_a_pool(pool, trials)
        )
    print(f"{len(trials)} MLPs of width 64, {options.steps} steps, {LOOKS} looks")
    print(f"  plain loop             {peer:6.2f} s")
    print(f"  engine, one process    {alone:6.2f} s   {peer / alone:4.1f} x")
    print(f"  engine, pool of {pool.workers}      {pooled:6.2f} s   {peer / pooled:4.1f} x")
    if not options.no_default:
        study: Study = textbook()
        began = time.perf_counter()
        results = study.run()
        print(f"gainstage compare, {len(results.arms)} arms: {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
