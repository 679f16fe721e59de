"""What does a regularizer bring? One small network on MNIST-1D, each regularizer at its own best strength.

    python benchmarks/regularizers.py [--threads 2]

4,000 training samples, of which 800 are for validation; 1,000 test samples; the data are the same for all. A seed
decides the start (`gs.initialize`), the order of the batches and every mask; arms share seeds. The strength of a
regularizer is the one of `ARMS` with the best validation accuracy, averaged over the seeds. An ensemble of K is made of
K plain networks from seeds of their own. Early stopping restores the weights with the lowest validation loss; it looks
every 50 steps and ends after 6 looks without improvement, within a schedule made for the whole run. Intervals are 95 %
t intervals over 10 seeds; "to plain" is the paired difference over common seeds. Networks of one arm are trained as one
program (`fit_many`).
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from scipy.stats import t as student
from torch import Tensor, nn

import gainstage as gs
from gainstage.nn.drop import DropConnect, Dropout
from gainstage.train import (
    Moment,
    calibration_error,
    combine,
    cutmix,
    disagreement,
    fit_many,
    mixup,
    negative_log_likelihood,
    predict_many,
    warmup,
)

SEEDS, SIZES = 10, (2, 5, 10)
WIDTH, STEPS, BATCH, RATE = 100, 2000, 100, 2e-3
CHECK_EVERY, PATIENCE = 50, 6
RESULTS = Path(__file__).parent / "results"
Split = tuple[Tensor, Tensor]


def plain() -> nn.Module:
    return mlp(lambda layer: nn.Sequential(layer, nn.ReLU()))


def mlp(layer: Callable[[nn.Linear], nn.Module]) -> nn.Module:
    return nn.Sequential(layer(nn.Linear(40, WIDTH)), layer(nn.Linear(WIDTH, WIDTH)), nn.Linear(WIDTH, 10))


def with_dropout(p: float) -> nn.Module:
    return mlp(lambda layer: nn.Sequential(layer, nn.ReLU(), Dropout(p)))


def with_dropconnect(p: float) -> nn.Module:
    return mlp(lambda layer: DropConnect(layer, p, activation=torch.relu, per_sample=False))


def mixing(how: Callable[..., tuple[Tensor, object]]) -> Callable[..., dict]:
    def options(alpha: float) -> dict:
        def augment(x: Tensor, y: Tensor, generator: torch.Generator) -> Split:
            mixed, target = how(x, y, alpha, generator=generator)
            return mixed, target.soft(10)

        return {"augment": augment}

    return options


def cut(x: Tensor, y: Tensor, alpha: float, *, generator: torch.Generator) -> tuple[Tensor, object]:
    mixed, target = cutmix(x[:, None], y, alpha, generator=generator)  # one channel of length 40
    return mixed[:, 0], target


def smoothing(strength: float) -> dict:
    return {"loss": lambda output, y: F.cross_entropy(output, y, label_smoothing=strength)}


def nothing(strength: float) -> dict:
    return {}


# title, strengths, the network at a strength, further options of the training at a strength
ARMS: dict[str, tuple[tuple[float, ...], Callable[[float], nn.Module], Callable[[float], dict]]] = {
    "dropout": ((0.1, 0.3, 0.5), with_dropout, nothing),
    "DropConnect": ((0.1, 0.3, 0.5), with_dropconnect, nothing),
    "mixup": ((0.2, 1.0), lambda _: plain(), mixing(mixup)),
    "cutmix": ((0.2, 1.0), lambda _: plain(), mixing(cut)),
    "label smoothing": ((0.1, 0.3), lambda _: plain(), smoothing),
}


@dataclass(frozen=True)
class Row:
    """One arm: a value a seed."""

    arm: str
    strength: float | None
    accuracy: list[float]
    nll: list[float]
    ece: list[float]


def data() -> tuple[Split, Split, Split]:
    """Training, validation and test samples of MNIST-1D, made offline."""
    from mnist1d.data import get_dataset_args, make_dataset

    made = make_dataset(get_dataset_args())
    x, y = torch.tensor(made["x"], dtype=torch.float32), torch.tensor(made["y"])
    test = torch.tensor(made["x_test"], dtype=torch.float32), torch.tensor(made["y_test"])
    return (x[800:], y[800:]), (x[:800], y[:800]), test


def started(make: Callable[[], nn.Module], seeds: range, x: Tensor) -> list[nn.Module]:
    models = [make() for _ in seeds]
    plan = gs.plan(models[0].eval(), x)
    for seed, model in zip(seeds, models, strict=True):
        plan.apply(model, seed=seed)
    return models


def trained(models: list[nn.Module], train: Split, seeds: range, **options: object) -> list[nn.Module]:
    settings = {"loss": F.cross_entropy, "lr": RATE, "steps": STEPS, "batch_size": BATCH, "seeds": seeds}
    settings |= {"schedule": warmup(100, total=STEPS), "together": True}
    runs = fit_many(models, *train, **settings | options)
    assert not any(run.diverged for run in runs)
    return models


class BestSoFar:
    """Early stopping of every member on its own: the weights with the lowest validation loss."""

    def __init__(self, validation: Split, count: int) -> None:
        self.x, self.y = validation
        self.best = [float("inf")] * count
        self.at = [0] * count
        self.state: list[dict[str, Tensor]] = [{} for _ in range(count)]

    def __call__(self, moment: Moment) -> None:
        if (moment.number + 1) % CHECK_EVERY:
            return
        for k, scores in zip(moment.members, moment.outputs(self.x), strict=True):
            loss = negative_log_likelihood(scores, self.y)
            if loss < self.best[k]:
                self.best[k], self.at[k], self.state[k] = loss, moment.number, moment.state(k)
            elif moment.number - self.at[k] >= PATIENCE * CHECK_EVERY:
                moment.stop(k)


def row(arm: str, strength: float | None, scores: Tensor, y: Tensor) -> Row:
    hits = [float((own.argmax(1) == y).double().mean()) for own in scores]
    nll = [negative_log_likelihood(own, y) for own in scores]
    return Row(arm, strength, hits, nll, [calibration_error(own, y) for own in scores])


def study(train: Split, validation: Split, test: Split) -> tuple[list[Row], float]:
    """All rows, and the mean disagreement between two plain networks."""
    rows: list[Row] = []
    seeds, example = range(SEEDS), train[0][:BATCH]

    def add(arm: str, strength: float | None, scores: Tensor, since: float) -> None:
        rows.append(row(arm, strength, scores, test[1]))
        print(f"{arm:<24} {mean(rows[-1].accuracy):.4f}   {time.perf_counter() - since:5.1f} s", flush=True)

    start = time.perf_counter()
    everyone = range(SEEDS * max(SIZES))  # members of ensemble s: s, s + SEEDS, s + 2 SEEDS, ...
    pool = trained(started(plain, everyone, example), train, everyone)
    scores = predict_many(pool, test[0])
    add("plain", None, scores[:SEEDS], start)
    for arm, (strengths, make, options) in ARMS.items():
        start = time.perf_counter()
        found = []
        for strength in strengths:
            models = started(lambda make=make, strength=strength: make(strength), seeds, example)
            trained(models, train, seeds, **options(strength))
            hits = (predict_many(models, validation[0]).argmax(2) == validation[1]).double().mean()
            found.append((float(hits), strength, models))
        _, strength, models = max(found, key=lambda entry: entry[0])
        add(arm, strength, predict_many(models, test[0]), start)
    start = time.perf_counter()
    stopping = BestSoFar(validation, SEEDS)
    models = trained(started(plain, seeds, example), train, seeds, on_step=[stopping])
    for model, state in zip(models, stopping.state, strict=True):
        model.load_state_dict(state)
    add("early stopping", None, predict_many(models, test[0]), start)
    for size in SIZES:
        members = [scores[s::SEEDS][:size] for s in range(SEEDS)]
        add(f"ensemble of {size}", None, torch.stack([combine(own) for own in members]), time.perf_counter())
    pairs = disagreement(scores[:SEEDS])
    return rows, float(pairs.sum() / (SEEDS * (SEEDS - 1)))


def interval(values: list[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % t interval."""
    half = student.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return mean(values), float(half)


def table(rows: list[Row]) -> str:
    lines = [
        "| arm | strength | accuracy, % | to plain, % | NLL | ECE |",
        "|---|---|---|---|---|---|",
    ]
    for own in rows:
        hits, half = interval([100 * value for value in own.accuracy])
        gain, spread = interval([100 * (a - b) for a, b in zip(own.accuracy, rows[0].accuracy, strict=True)])
        difference = "" if own is rows[0] else f"{gain:+.1f} ± {spread:.1f}"
        strength = "" if own.strength is None else f"{own.strength:g}"
        nll, nll_half = interval(own.nll)
        ece, ece_half = interval(own.ece)
        numbers = f"{nll:.2f} ± {nll_half:.2f} | {ece:.3f} ± {ece_half:.3f}"
        lines.append(f"| {own.arm} | {strength} | {hits:.1f} ± {half:.1f} | {difference} | {numbers} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    torch.set_num_threads(parser.parse_args().threads)
    start = time.perf_counter()
    rows, differ = study(*data())
    text = f"{table(rows)}\n\nTwo plain networks disagree on {100 * differ:.1f} % of the test samples.\n"
    print(f"\n{text}\n{time.perf_counter() - start:.0f} s")
    RESULTS.mkdir(exist_ok=True)
    settings = {"width": WIDTH, "steps": STEPS, "batch": BATCH, "lr": RATE, "seeds": SEEDS, "torch": torch.__version__}
    record = {"settings": settings, "disagreement": differ, "rows": [asdict(own) for own in rows]}
    (RESULTS / "regularizers.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "regularizers.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
