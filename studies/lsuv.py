"""Does LSUV matter where there is BatchNorm? LSUV against orthogonal starts, on digits.

    python studies/lsuv.py [--seeds 10] [--workers N]        about 5 minutes of one core

Mishkin & Matas, *All you need is a good init*, ICLR 2016: LSUV draws orthogonal weights and rescales each, in the order
of execution, until its output has unit variance on one batch. In our words:

- without normalization LSUV is as good as other starts or better, orthogonal ones among them, which it begins from.

Mishkin, Sergievskiy & Matas, *Systematic evaluation of CNN advances on the ImageNet*, 2016, with the tables at
https://github.com/ducha-aiki/caffenet-benchmark: networks on ImageNet at 128 pixels. In our words:

- with BatchNorm it does not matter which of the two: in the author's table they differ by at most 0.012 of accuracy.

What is measured: accuracy on the 359 test images (8 by 8 pixels) of digits, of plain convolutional networks of 10
layers with 16 channels, with ReLU and with tanh, after 300 steps of Adam with 32 samples. The learning rate is tuned
for each arm on the validation part with two runs. The orthogonal start has gain 1 for every activation, as in Saxe et
al. 2014, so that a ReLU halves the signal's power in each layer.

0.012 is the margin of all criteria, which were fixed before these runs. "Does not matter" is shown by the 95 % interval
of the paired difference, which has to lie within the margin: two networks that are not told apart are not enough.
"""

import argparse
import textwrap

import gainstage as gs
from _common import COLUMNS, Claim, Part, arguments, larger, run, runs, scores, table, write
from gainstage.study import Arm, Results, grid

ACTIVATIONS = ("relu", "tanh")
MARGIN = 0.012  # the largest difference in the author's table
STEPS = 300
PLAIN = "orthogonal(gain=1.0)"  # the scheme of this name takes the activation's gain


def arms() -> tuple[Arm, ...]:
    return grid(
        model="cnn",
        depth=10,
        width=16,
        norm=["batch", None],
        activation=list(ACTIVATIONS),
        init=[PLAIN, "lsuv"],
        batch_size=32,
    )


def study_of(seeds: int) -> gs.Study:
    rates = [10**-3.5, 1e-3, 10**-2.5, 1e-2]
    return gs.Study(arms=arms(), seeds=seeds, steps=STEPS, rates=rates, tuning_seeds=2, margin=MARGIN)


def claims(results: Results) -> list[Claim]:
    """What the author says, judged."""
    same, not_worse = [], []
    for verdict in results.verdicts("init"):
        setting = results.settings[verdict.arms[0]]
        if setting["norm"] == "batch":
            c = verdict.comparisons[0]
            criterion = f"{setting['activation']}: the interval within {MARGIN} (does not matter)"
            measured = f"{verdict.answer}: {-c.difference:+.3f} ({-c.high:+.3f} to {-c.low:+.3f})"
            same.append(Part(criterion, measured, verdict.answer == "does not matter"))
    for activation in ACTIVATIONS:
        lsuv, orthogonal = (scores(results, norm=None, activation=activation, init=init) for init in ("lsuv", PLAIN))
        criterion = f"{activation}: not worse by {MARGIN} or more"
        not_worse.append(larger(criterion, lsuv, orthogonal, by=-MARGIN, resolution=results.resolution))
    return [
        Claim("With BatchNorm LSUV and orthogonal are the same within 0.012", tuple(same)),
        Claim("Without normalization LSUV is as good as orthogonal or better", tuple(not_worse)),
    ]


def shown(results: Results) -> str:
    rows = []
    for i, (setting, each) in enumerate(zip(results.settings, results.arms, strict=True)):
        s = results.summary(i)
        names = (setting["norm"] or "none", setting["activation"], setting["init"])
        rows.append((*names, f"{each.lr:.2g}", s.mean, s.low, s.high, s.failures))
    edges = [label for label, each in zip(results.labels, results.arms, strict=True) if each.at_edge]
    beyond = f"\nBest at an end of its grid of rates: {', '.join(edges)}." if edges else ""
    return table(("norm", "activation", "init", "lr", "mean", "low", "high", "failed"), rows) + beyond


def study(asked: argparse.Namespace) -> None:
    results = run(study_of(asked.seeds), asked)
    sentences = [textwrap.fill(v.sentence, COLUMNS, subsequent_indent="  ") for v in results.verdicts("init")]
    write(
        "lsuv",
        __doc__,
        results=[results],
        sections=[shown(results), "\n".join(sentences)],
        claims=claims(results),
        data={"margin": MARGIN, "runs": runs(results)},
    )


if __name__ == "__main__":
    study(arguments(__doc__, seeds=10))
