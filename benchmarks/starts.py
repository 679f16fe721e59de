"""Which start trains? Eight networks that are hard to start, each arm at its own best learning rate.

    python benchmarks/starts.py            prints the README's table (about half an hour on 2 cores)
    python benchmarks/starts.py --row lstm --seeds 1

Every arm gets the same data, batches, optimizer (Adam, no warm-up) and number of steps. Its learning rate is the one
of `RATES` with the best validation accuracy at seed 0; the table shows the test accuracy there, over all seeds.
"""

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from networks import LongLSTM, Transformer, mlp, plain_cnn, resnet56_without_norm

ROWS: dict[str, tuple[str, Callable[[], nn.Module], int]] = {
    "tanh-mlp-50": ("50-layer tanh MLP", partial(mlp, nn.Tanh, 50), 300),
    "relu-mlp-100": ("100-layer ReLU MLP", partial(mlp, nn.ReLU, 100), 300),
    "gelu-mlp-50": ("50-layer GELU MLP", partial(mlp, nn.GELU, 50), 300),
    "cnn-30": ("30-layer plain CNN", plain_cnn, 200),
    "resnet-56": ("ResNet-56 without normalization", resnet56_without_norm, 200),
    "pre-ln-24": ("24-layer pre-LN transformer", Transformer, 200),
    "post-ln-24": ("24-layer post-LN transformer", partial(Transformer, norm_first=False), 200),
    "lstm": ("LSTM over 200 steps", LongLSTM, 300),
}
CLASSICAL = ("xavier_normal", "he_normal", "orthogonal")
ARMS = ("torch", *CLASSICAL, "auto", "auto+calibrate")
RATES = (3e-4, 1e-3, 3e-3)
BATCH = 64
Split = tuple[Tensor, Tensor]


def data() -> tuple[Split, Split, Split]:
    """Train, validation and test of scikit-learn's digits, standardized with training statistics."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x, test_x, y, test_y = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    x, val_x, y, val_y = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    centre, spread = x.mean(0), x.std(0)
    spread[spread == 0] = 1

    def split(inputs: Tensor, labels: Tensor) -> Split:
        return torch.tensor((inputs - centre) / spread, dtype=torch.float32), torch.tensor(labels, dtype=torch.long)

    return split(x, y), split(val_x, val_y), split(test_x, test_y)


def trial(row: str, arm: str, rate: float, seed: int) -> dict[str, object]:
    """Train one network once; its validation and test accuracy (chance where it diverged)."""
    import gainstage as gs
    from gainstage.train import accuracy, fit, minibatches

    torch.set_num_threads(1)
    _, factory, steps = ROWS[row]
    train, validation, test = data()
    torch.manual_seed(seed)
    model = factory()
    if arm != "torch":  # torch's own start is what the constructors did
        scheme = arm.removesuffix("+calibrate")
        gs.initialize(model, train[0][:BATCH], seed=seed, scheme=scheme, calibrate=arm.endswith("+calibrate"))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    batches = minibatches(*train, batch_size=BATCH, steps=steps, seed=seed)
    run = fit(model, batches, loss=F.cross_entropy, optimizer=optimizer)
    result = {"row": row, "arm": arm, "rate": rate, "seed": seed, "diverged": run.diverged}
    return result | {"validation": accuracy(model, *validation), "test": accuracy(model, *test)}


def best_rate(results: list[dict], row: str, arm: str) -> float:
    """The learning rate with the best validation accuracy at seed 0."""
    first = [r for r in results if (r["row"], r["arm"], r["seed"]) == (row, arm, 0)]
    return max(first, key=lambda r: r["validation"])["rate"]


def table(results: list[dict]) -> str:
    """The README's table: mean and standard deviation over seeds."""
    lines = ["| network | torch default | best classical | `auto` | `auto` + calibrate |", "|---|---|---|---|---|"]
    for row, (title, *_) in ROWS.items():
        if not any(r["row"] == row for r in results):
            continue
        cells = {}
        for arm in ARMS:
            rate = best_rate(results, row, arm)
            accuracies = [r["test"] for r in results if (r["row"], r["arm"], r["rate"]) == (row, arm, rate)]
            spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
            cells[arm] = (mean(accuracies), f"{mean(accuracies):.3f} ± {spread:.3f}")
        champion = max(CLASSICAL, key=lambda arm: cells[arm][0])
        texts = [cells["torch"][1], f"{cells[champion][1]} ({champion})", cells["auto"][1], cells["auto+calibrate"][1]]
        lines.append(f"| {title} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--row", action="append", choices=list(ROWS), help="only these rows")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--store", type=Path, default=Path(__file__).parent / "results" / "starts.json")
    options = parser.parse_args()
    results = json.loads(options.store.read_text()) if options.store.exists() else []
    options.store.parent.mkdir(exist_ok=True)
    rows = options.row or list(ROWS)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:

        def run(trials: list[tuple[str, str, float, int]]) -> None:
            done = {(r["row"], r["arm"], r["rate"], r["seed"]) for r in results}
            trials = [t for t in trials if t not in done]
            for count, result in enumerate(pool.map(trial, *zip(*trials, strict=True)) if trials else (), 1):
                results.append(result)
                print(f"{count}/{len(trials)}  {result}", flush=True)
                options.store.write_text(json.dumps(results, indent=0) + "\n")

        run([(row, arm, rate, 0) for row, arm, rate in product(rows, ARMS, RATES)])
        rest = product(rows, ARMS, range(1, options.seeds))
        run([(row, arm, best_rate(results, row, arm), seed) for row, arm, seed in rest])
    print(table(results))


if __name__ == "__main__":
    main()
