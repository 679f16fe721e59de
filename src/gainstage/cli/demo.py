"""`gainstage demo`: the main job on real data, in under a minute."""

import math
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING

import click

from gainstage.cli._options import verbose
from gainstage.cli._reasons import reasons
from gainstage.cli._terminal import output_is_ours, say, speaks_unicode, wants_color

if TYPE_CHECKING:
    from torch import nn

    from gainstage.study.digits import Digits
    from gainstage.train import Fit

DEPTH, WIDTH = 50, 64
STEPS, BATCH, RATE = 300, 64, 1e-3
SEEN = 256  # images that a check looks at
LAST = 20  # steps that the closing loss is averaged over
PLACES = 2  # of one finding, to keep the page short


@click.command()
@verbose
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, metavar="INT", help="Of all.")
def demo(seed: int) -> None:
    """Check, start and train a deep network on real handwritten digits.

    Uses scikit-learn's digits, one CPU core and less than a minute.
    """
    from gainstage.study.digits import digits
    from gainstage.train import one_thread

    data = digits(seed)
    with one_thread():
        _show(data, seed)


def _show(data: "Digits", seed: int) -> None:
    n, test, features = len(data.x), len(data.test_x), data.x.shape[1]
    say(f"Data: {n + test:,} images of handwritten digits, {features} pixels each, {data.classes} classes;")
    say(f"{test} of them are kept for the test.")
    say(f"Network: {DEPTH} linear layers, {WIDTH} wide, ReLU between, no normalization, no skips.")

    _heading("1", "PyTorch's default start")
    say(f"gs.check sends {SEEN} images forward and the gradient back, and reads each layer.")
    default = build(features, data.classes, seed)
    _check(default, data, seed)

    _heading("2", "A start chosen for this network")
    say("gs.initialize looks at what each weight feeds, chooses its law, and draws it.")
    started = build(features, data.classes, seed)
    _plan(started, data, seed)

    _heading("3", "The same check again")
    say("The same images, the same rules, the new weights.")
    _check(started, data, seed)

    _heading("4", "Training from both starts")
    say(f"Adam, learning rate {RATE:g}, {STEPS} steps of {BATCH} images; same batches, same order.")
    _train({"PyTorch's default": default, "gainstage": started}, data, seed)


def build(features: int, classes: int, seed: int) -> "nn.Module":
    """A plain network of `DEPTH` linear layers, as PyTorch builds it."""
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = [features, *[WIDTH] * (DEPTH - 1), classes]
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(sizes):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])


def _check(model: "nn.Module", data: "Digits", seed: int) -> None:
    from torch.nn.functional import cross_entropy

    import gainstage as gs
    from gainstage.report import text

    with output_is_ours():
        report = gs.check(model, data.x[:SEEN], target=data.y[:SEEN], loss=cross_entropy, seed=seed)
    say(text(report, color=wants_color(), places=PLACES), styled=True)


def _plan(model: "nn.Module", data: "Digits", seed: int) -> None:
    import gainstage as gs
    from gainstage.report import fold

    plan = gs.initialize(model, data.x[:SEEN], seed=seed)
    say(f"{fold(plan.table())}\n\n{reasons(plan)}")


def _train(models: "dict[str, nn.Module]", data: "Digits", seed: int) -> None:
    from gainstage._columns import columns
    from gainstage.report import chart
    from gainstage.train import accuracy

    runs = {name: _fit(name, model, data, seed) for name, model in models.items()}
    curves = {name: run.losses for name, run in runs.items()}
    say()
    say(chart(curves, y="training loss (cross-entropy, nats)", unicode=speaks_unicode()))
    say()
    chance = f"ln {data.classes} = {math.log(data.classes):.2f} nats"
    say(f"Guessing among {data.classes} classes costs {chance}: a loss that stays there")
    say("has learned nothing.")
    say()
    rows = [
        (
            name,
            f"{accuracy(model, data.test_x, data.test_y):.1%}",
            f"{fmean(runs[name].losses[-LAST:]):.3f}{', diverged' * runs[name].diverged}",
        )
        for name, model in models.items()
    ]
    say(columns(("start", "test accuracy", f"loss, last {LAST} steps"), rows, numbers=(1, 2)))
    say()
    say("On your own model:  gainstage check FILE.py:FUNCTION --input 8x64")


def _fit(name: str, model: "nn.Module", data: "Digits", seed: int) -> "Fit":
    import torch
    from torch.nn.functional import cross_entropy

    from gainstage.train import fit, minibatches

    batches = minibatches(data.x, data.y, batch_size=BATCH, steps=STEPS, seed=seed)
    adam = torch.optim.Adam(model.parameters(), lr=RATE)
    return fit(model, batches, loss=cross_entropy, optimizer=adam, steps=STEPS, progress=f"training: {name}")


def _heading(number: str, title: str) -> None:
    say()
    say(click.style(f"{number}. {title}", bold=True), styled=True)
