"""Does AdaNorm beat LayerNorm? Five normalizations of a small transformer on four tasks.

    python studies/adanorm.py [--seeds 8] [--workers N]        about 7 minutes of one core

Xu, Sun, Zhang, Zhao & Lin, *Understanding and Improving Layer Normalization*, NeurIPS 2019: on eight tasks, from
translation to MNIST, with transformers and convolutional networks. In our words:

- AdaNorm, which scales by a function of its own output instead of learned weight and bias, beats LayerNorm on seven of
  the eight;
- LayerNorm-simple, without weight and bias, is no worse than LayerNorm; better on four;
- what helps are the derivatives of mean and variance: DetachNorm, which computes the same but takes both for constants
  on the way back, is worse than LayerNorm-simple;
- and does no better than no normalization at all, so that normalizing on the way forward does little by itself.

What is measured: accuracy (R² on diabetes) on the test part of digits, MNIST-1D, breast cancer and diabetes, by a
pre-norm transformer of two blocks of width 32, after 200 steps of Adam with 32 samples; the learning rate is tuned for
each arm and task on the validation part. AdaNorm has k = 1/10 and C = 1; the paper chooses C by task. These networks
have a hundredth of the parameters of the paper's and see their data a few times, so that the overfitting that the
authors blame on weight and bias has little time to appear.

A difference below 0.01 does not matter to us. The criteria were fixed before these runs. "Better on three of four" is
counted after Holm's correction over the tasks. Breast cancer has 114 samples for tuning, on which rates from 0.0003 to
0.1 come out nearly equal: with a grid that went on to 0.1, LayerNorm-simple was 0.006 above LayerNorm there instead of
0.03 below.
"""

import argparse
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

import gainstage as gs
from _common import Claim, Part, arguments, larger, run, runs, table, write
from gainstage.nn import LayerNormSimple
from gainstage.study import Arm, Results, load
from gainstage.study._statistics import Paired, holm, paired
from gainstage.study.families import transformer

TASKS = ("digits", "mnist1d", "breast_cancer", "diabetes")
MOST = 3  # of the tasks
STEPS, BATCH = 200, 32
MARGIN = 0.01
SHAPE = {"depth": 2, "width": 32}
NORMS = {"LayerNorm": "layer", "LayerNorm-simple": "layer_simple", "AdaNorm": "ada", "no norm": None}


class DetachNorm(nn.Module):
    r"""Layer normalization without affine that takes mean and deviation for constants on the way back.

    $$ y = \frac{x - \operatorname{stop}(\mu)}{\operatorname{stop}(\sqrt{\sigma^2 + \epsilon})} $$
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x.detach(), -1, correction=0, keepdim=True)
        return (x - mean) * torch.rsqrt(variance + self.eps)


def detached(task: str) -> nn.Module:
    """The transformer of the other arms with `DetachNorm`."""
    model = transformer(Arm(model="transformer", norm="layer_simple", **SHAPE), load(task))
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, LayerNormSimple):
                setattr(module, name, DetachNorm(child.eps))
    return model


def arms(task: str) -> tuple[Arm, ...]:
    known = [Arm(model="transformer", norm=norm, name=name, batch_size=BATCH, **SHAPE) for name, norm in NORMS.items()]
    return (*known, Arm(model=detached, options={"task": task}, name="DetachNorm", batch_size=BATCH))


def study_of(task: str, seeds: int) -> gs.Study:
    rates = [10 ** (-k / 2) for k in (7, 6, 5, 4, 3)]
    return gs.Study(arms=arms(task), data=task, seeds=seeds, steps=STEPS, rates=rates, margin=MARGIN)


def differences(results: Sequence[Results], a: str, b: str) -> dict[str, Paired]:
    """For each task, `a` minus `b`."""
    return {
        each.data: paired(each.arms[each.index(a)].scores, each.arms[each.index(b)].scores, resolution=each.resolution)
        for each in results
    }


def better(found: Mapping[str, Paired]) -> tuple[list[str], list[str]]:
    """The tasks on which the first is better, and those on which it is worse, after Holm's correction over them."""
    adjusted = holm([each.p for each in found.values()])
    clear = {task: each for (task, each), p in zip(found.items(), adjusted, strict=True) if p < 0.05}
    return [t for t, each in clear.items() if each.difference > 0], [
        t for t, each in clear.items() if each.difference < 0
    ]


def on_most(criterion: str, found: Mapping[str, Paired]) -> Part:
    """Holds where the first is better on most tasks."""
    more, less = better(found)
    return Part(criterion, f"better on {len(more)}, worse on {len(less)} of {len(found)}", len(more) >= MOST)


def claims(results: Sequence[Results]) -> list[Claim]:
    """What Xu et al. say, judged."""
    simple = tuple(
        larger(
            f"{each.data}: not worse by {MARGIN} or more",
            each.arms[each.index("LayerNorm-simple")].scores,
            each.arms[each.index("LayerNorm")].scores,
            by=-MARGIN,
            resolution=each.resolution,
        )
        for each in results
    )
    bare = differences(results, "DetachNorm", "no norm")
    no_better = [task for task, each in bare.items() if each.high < MARGIN]
    ada, detach = differences(results, "AdaNorm", "LayerNorm"), differences(results, "LayerNorm-simple", "DetachNorm")
    return [
        Claim("AdaNorm beats LayerNorm on seven of eight tasks", (on_most("better on three of our four", ada),)),
        Claim("LayerNorm-simple is no worse than LayerNorm", simple),
        Claim(
            "The derivatives of mean and variance help: LayerNorm-simple beats DetachNorm",
            (on_most("better on three of four", detach),),
        ),
        Claim(
            "Normalizing on the way forward does little: DetachNorm is no better than no norm",
            (
                Part(
                    f"not better by {MARGIN} or more on three of four",
                    f"on {len(no_better)} of {len(bare)}",
                    len(no_better) >= MOST,
                ),
            ),
        ),
    ]


def shown(results: Sequence[Results]) -> str:
    rows = []
    for each in results:
        for i, label in enumerate(each.labels):
            s = each.summary(i)
            base = f"{each.compare(label, 'LayerNorm').difference:+.3f}" if label != "LayerNorm" else ""
            rows.append((each.data, label, f"{each.arms[i].lr:.2g}", s.mean, s.low, s.high, base))
    return table(("task", "norm", "lr", "mean", "low", "high", "to LayerNorm"), rows)


def study(asked: argparse.Namespace) -> None:
    results = [run(study_of(task, asked.seeds), asked) for task in TASKS]
    write(
        "adanorm",
        __doc__,
        results=results,
        sections=[shown(results)],
        claims=claims(results),
        data={"margin": MARGIN, "runs": {each.data: runs(each) for each in results}},
    )


if __name__ == "__main__":
    study(arguments(__doc__, seeds=8))
