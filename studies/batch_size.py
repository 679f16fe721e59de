"""How small may a batch be? BatchNorm against GroupNorm over batch sizes, on digits.

    python studies/batch_size.py [--seeds 8] [--workers N]        about 4 minutes of one core

Wu & He, *Group Normalization*, ECCV 2018, figure 1 and table 2: a ResNet-50 on ImageNet, trained for 100 epochs with
32, 16, 8, 4 or 2 images a worker and a learning rate in proportion to the batch, ends with an error of 23.6, 23.7,
24.8, 27.3 and 34.7 % with batch normalization and of 24.1, 24.2, 24.0, 24.2 and 24.1 % with group normalization. In our
words:

- group normalization is better than batch normalization with 2 images, by a lot (10.6 points there);
- with 32 images batch normalization is not worse (it is 0.5 points better there);
- batch normalization gets worse as the batch shrinks;
- group normalization gives the same at every batch size (within 0.2 points there).

What is measured: the accuracy of a residual network of two blocks with 16 channels (GroupNorm: two groups of 8, where
the paper has 32 groups) on 1,079 images of 8 by 8 pixels, tested on 359. As in the paper: SGD with momentum 0.9,
weight decay 1e-4, equal epochs (8) for all batch sizes, and a learning rate in proportion to the batch. Here it is
tuned at 32 images for each normalization by itself, on the validation part, and does not fall during training. There is
one worker, so that a batch is also what a step sees; in the paper eight workers share a step. `batch_size_mlp.py` does
the same with an MLP.

A difference below 0.01 does not matter to us: it is the margin of all four criteria, which were fixed before these
runs. The last two claims are about five batch sizes at once: Holm's correction and the equivalence of every pair, as
the study room has them.
"""

import argparse
import textwrap
from dataclasses import replace

import gainstage as gs
from _common import COLUMNS, Claim, Part, arguments, figure, larger, run, runs, scores, table, write
from gainstage.study import Arm, Results, grid, load

BATCHES = (32, 16, 8, 4, 2)
EPOCHS = 8
MARGIN = 0.01
PAPER = {  # error in %, table 2
    "batch": (23.6, 23.7, 24.8, 27.3, 34.7),
    "group": (24.1, 24.2, 24.0, 24.2, 24.1),
}
NAMES = {"batch": "BatchNorm", "group": "GroupNorm"}


def arms(batch: int, rates: dict[str, float] | None = None, **network: object) -> tuple[Arm, ...]:
    """One for each normalization: its learning rate is tuned, or in proportion to the batch from those at 32."""
    shape = network or {"model": "resnet", "depth": 2, "width": 16}
    both = grid(**shape, norm=list(PAPER), optimizer="momentum", weight_decay=1e-4, batch_size=batch)
    return both if rates is None else tuple(replace(arm, lr=rates[arm.norm] * batch / BATCHES[0]) for arm in both)


def steps(batch: int, samples: int) -> int:
    """Updates in all epochs."""
    return round(EPOCHS * samples / batch)


def measure(asked: argparse.Namespace, **network: object) -> Results:
    """One study a batch size, since they differ in their number of steps, put together."""
    data = load("digits")
    rates: dict[str, float] | None = None
    found: list[Results] = []
    for batch in BATCHES:
        own = arms(batch, rates, **network)
        count = steps(batch, len(data.train.x))
        found.append(run(gs.Study(arms=own, data=data, seeds=asked.seeds, steps=count, margin=MARGIN), asked))
        rates = rates or {str(each.arm.norm): each.lr for each in found[0].arms}
    return together(found)


def together(found: list[Results]) -> Results:
    """The arms of all studies; how their learning rates were found no longer tells them apart."""
    made = [replace(each, arm=replace(each.arm, lr="tuned")) for results in found for each in results.arms]
    return replace(found[0], arms=tuple(made))


def claims(results: Results) -> list[Claim]:
    """What Wu & He say, judged."""
    h = results.resolution
    bn, gn = ({batch: scores(results, norm=norm, batch_size=batch) for batch in BATCHES} for norm in PAPER)
    of_bn, of_gn = (next(v for v in results.verdicts("batch_size") if norm in v.where) for norm in PAPER)
    ends = next(c for c in of_bn.comparisons if {c.a, c.b} == {of_bn.levels[0], of_bn.levels[-1]})
    spread = max(c.bound for c in of_gn.comparisons)
    worse = larger(f"2 images worse than 32 by more than {MARGIN}", bn[32], bn[2], by=MARGIN, resolution=h)
    after_holm = Part(
        "Holm's p of 2 and 32, over all pairs of sizes, below 0.05",
        f"p = {ends.adjusted_p:.2g}",
        worse.holds and ends.adjusted_p < 0.05,
    )
    same = Part(
        f"every pair of sizes within {MARGIN}",
        f"{of_gn.answer}; intervals reach {spread:.3f}",
        of_gn.answer == "does not matter",
    )
    return [
        Claim(
            "With 2 images GroupNorm is better",
            (larger(f"by more than {MARGIN}", gn[2], bn[2], by=MARGIN, resolution=h),),
        ),
        Claim(
            "With 32 images BatchNorm is not worse",
            (larger(f"not by {MARGIN} or more", bn[32], gn[32], by=-MARGIN, resolution=h),),
        ),
        Claim("BatchNorm gets worse as the batch shrinks", (worse, after_holm)),
        Claim("GroupNorm gives the same at every batch size", (same,)),
    ]


def shown(results: Results) -> str:
    """Errors in %, ours beside the paper's."""
    rows = []
    for i, (setting, each) in enumerate(zip(results.settings, results.arms, strict=True)):
        norm, batch = setting["norm"], setting["batch_size"]
        s = results.summary(i)
        error = [f"{100 * (1 - value):.1f}" for value in (s.mean, s.high, s.low)]
        rows.append((NAMES[norm], batch, f"{each.lr:.4g}", PAPER[norm][BATCHES.index(batch)], *error, s.failures))
    rows.sort(key=lambda row: row[0])
    header = ("normalization", "batch", "lr", "paper", "error, %", "low", "high", "failed")
    return table(
        header, rows, caption="Error in %: of the paper on ImageNet, and here on digits with its 95 % interval."
    )


def draw(results: Results, ax: object) -> None:
    for norm in PAPER:
        found = [results.summary(_label(results, norm, batch)) for batch in BATCHES]
        errors = [100 * (1 - s.mean) for s in found]
        low, high = [100 * (1 - s.high) for s in found], [100 * (1 - s.low) for s in found]
        ax.plot(BATCHES, errors, marker="o", label=f"{NAMES[norm]}, digits")
        ax.fill_between(BATCHES, low, high, alpha=0.2)
    for norm, errors in PAPER.items():
        ax.plot(BATCHES, errors, linestyle=":", marker=".", color="gray" if norm == "batch" else "silver",
                label=f"{NAMES[norm]}, ImageNet (Wu & He)")  # fmt: skip
    ax.set_xscale("log", base=2)
    ax.set_xticks(BATCHES, map(str, BATCHES))
    ax.invert_xaxis()
    ax.set(xlabel="images in a batch", ylabel="test error, %", ylim=(0, None))
    ax.legend()


def _label(results: Results, norm: str, batch: int) -> int:
    return results.settings.index({"norm": norm, "batch_size": batch})


def study(asked: argparse.Namespace, name: str = "batch_size", doc: str | None = __doc__, **network: object) -> None:
    """Measure and write the page, of these networks or of others."""
    results = measure(asked, **network)
    verdicts = (*results.verdicts("norm"), *results.verdicts("batch_size"))
    write(
        name,
        doc,
        results=[results],
        sections=[
            shown(results),
            "\n".join(textwrap.fill(v.sentence, COLUMNS, subsequent_indent="  ") for v in verdicts),
        ],
        claims=claims(results),
        data={"margin": MARGIN, "epochs": EPOCHS, "runs": runs(results)},
        figure=figure(lambda ax: draw(results, ax)),
    )


if __name__ == "__main__":
    study(arguments(__doc__, seeds=8))
