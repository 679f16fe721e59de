"""How deep can a plain tanh network be and still train? (Schoenholz et al. 2017)

    python studies/trainable_depth.py        # 5 minutes of one core

The paper: Schoenholz, Gilmer, Ganguli & Sohl-Dickstein, *Deep Information Propagation*, ICLR 2017. What tells two
inputs apart fades with depth as exp(-l / xi_c), where xi_c follows from the variances of weights and biases alone. A
network can be trained as long as it is not much deeper than about 6 xi_c; xi_c is infinite where the slope chi_1 of the
correlation map is 1. Bias variance 0.05, MNIST, width 300, SGD (their figure 5).

Here: the 1,797 digits of scikit-learn (8 x 8), width 64, 300 steps of SGD at the same rate for all, up to 80 layers.
The curve comes from `gainstage.theory.MeanField`. Optimizer, rate and steps were chosen on other seeds, because with
Adam or momentum at a rate that trains 10 layers well nothing of 80 layers trained, at any variance.
"""

from functools import cache
from itertools import pairwise
from math import exp, log, sqrt
from typing import Any

from torch import nn

from _common import Claim, Part, arguments, between, figure, larger, run, runs, scores, table, write
from gainstage.study import Arm, Results, Study
from gainstage.study._statistics import mean_interval
from gainstage.theory import MeanField, critical_line

BIAS = 0.05
CRITICAL = 1.76
VARIANCES = (1.0, 1.25, 1.5, CRITICAL, 2.0, 2.5, 3.0, 4.0)
DEPTHS = (10, 20, 40, 80)
SCALES = 6  # of xi_c: as far as the paper sees networks train
SLACK = 1.5  # "about": a network within this factor of the bound may train or not
TRAINED = 0.5  # accuracy, between 0.1 of guessing and 0.9


def tanh_net(layers: int, weight_variance: float, width: int = 64) -> nn.Module:
    """`layers` tanh layers: weights of variance `weight_variance` / fan in, biases of variance 0.05; and a head."""
    made: list[nn.Module] = [nn.Flatten()]
    for _ in range(layers):
        made += [nn.Linear(width if len(made) > 1 else 64, width), nn.Tanh()]
    made.append(nn.Linear(width, 10))
    for layer in made:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=sqrt(weight_variance / layer.in_features))
            nn.init.normal_(layer.bias, std=sqrt(BIAS))
    return nn.Sequential(*made)


@cache
def bound(weight_variance: float) -> float:
    """Six depth scales of the correlation, in layers."""
    return SCALES * MeanField("tanh", weight_variance, BIAS).depth_scale_c()


def trainable_depth(accuracies: list[float]) -> float:
    """Where the accuracies at `DEPTHS` fall below `TRAINED`: between two depths, straight over the log of the depth.

    At most the largest and at least the smallest of `DEPTHS`.
    """
    if accuracies[0] < TRAINED:
        return float(DEPTHS[0])
    for i in range(1, len(DEPTHS)):
        if accuracies[i] < TRAINED:
            share = (accuracies[i - 1] - TRAINED) / (accuracies[i - 1] - accuracies[i])
            return exp((1 - share) * log(DEPTHS[i - 1]) + share * log(DEPTHS[i]))
    return float(DEPTHS[-1])


def judge(accuracy: dict[tuple[float, int], tuple[float, ...]]) -> list[Claim]:
    """The claims, from the accuracies of each weight variance and depth, one a seed."""
    deepest = DEPTHS[-1]
    beyond = [key for key in accuracy if key[1] >= SLACK * bound(key[0])]
    inside = [key for key in accuracy if key[1] <= bound(key[0]) / SLACK]
    ratio = between(
        f"trainable depth / 6 xi_c, geometric mean over variances with 6 xi_c < 80: 1 / {SLACK} to {SLACK}",
        measured_to_bound(accuracy),
        1 / SLACK,
        SLACK,
    )
    return [
        Claim(
            "Networks train deepest where chi_1 = 1",
            tuple(
                larger(
                    f"{deepest} layers: {CRITICAL} above {other:g} by 0.2 or more",
                    accuracy[CRITICAL, deepest],
                    accuracy[other, deepest],
                    by=0.2,
                )
                for other in (VARIANCES[0], VARIANCES[-1])
            ),
        ),
        Claim(
            "No network trains that is deeper than about 6 xi_c",
            (_all(f"depth above {SLACK} x 6 xi_c: accuracy below {TRAINED}", accuracy, beyond, trains=False),),
        ),
        Claim(
            "Networks that are shallower than about 6 xi_c train",
            (_all(f"depth below 6 xi_c / {SLACK}: accuracy above {TRAINED}", accuracy, inside, trains=True),),
        ),
        Claim("The depth that trains follows 6 xi_c", (ratio,)),
    ]


def measured_to_bound(accuracy: dict[tuple[float, int], tuple[float, ...]]) -> list[float]:
    """For each seed the geometric mean of trainable depth over bound, of the variances that are bounded within 80."""
    bounded = [variance for variance in VARIANCES if bound(variance) < DEPTHS[-1]]
    seeds = range(len(accuracy[bounded[0], DEPTHS[0]]))
    return [
        exp(sum(log(_depth_of(accuracy, variance, seed) / bound(variance)) for variance in bounded) / len(bounded))
        for seed in seeds
    ]


def _depth_of(accuracy: dict[tuple[float, int], tuple[float, ...]], variance: float, seed: int) -> float:
    return trainable_depth([accuracy[variance, depth][seed] for depth in DEPTHS])


def _all(
    criterion: str, accuracy: dict[tuple[float, int], tuple[float, ...]], keys: list[tuple[float, int]], *, trains: bool
) -> Part:
    """Holds where the whole 95 % interval of each of these arms is on the right side of `TRAINED`."""
    wrong = []
    for key in keys:
        _, low, high = mean_interval(accuracy[key])
        if (low <= TRAINED) if trains else (high >= TRAINED):
            wrong.append(f"{key[0]:g} at {key[1]}")
    told = f"{len(keys) - len(wrong)} of {len(keys)} arms" + (f", not {'; '.join(wrong)}" if wrong else "")
    return Part(criterion, told, not wrong)


def drawn(accuracy: dict[tuple[float, int], tuple[float, ...]], ax: Any) -> None:
    """Accuracy over weight variance and depth, with the curve of 6 xi_c."""
    means = [[sum(accuracy[v, d]) / len(accuracy[v, d]) for v in VARIANCES] for d in DEPTHS]
    mesh = ax.pcolormesh(range(len(VARIANCES)), range(len(DEPTHS)), means, cmap="cividis", vmin=0, vmax=1)
    for i, row in enumerate(means):
        for j, mean in enumerate(row):
            ax.text(j, i, f"{mean:.2f}", ha="center", va="center", color="black" if mean > 0.5 else "white", fontsize=8)
    between_ticks = [(j + k / 4, a + (b - a) * k / 4) for j, (a, b) in enumerate(pairwise(VARIANCES)) for k in range(4)]
    fine = [*between_ticks, (len(VARIANCES) - 1.0, VARIANCES[-1])]
    curve = [(at, log(min(bound(v), 1e6) / DEPTHS[0], 2)) for at, v in fine]
    ax.plot(*zip(*curve, strict=True), color="tab:red", linewidth=2, label="theory: 6 $\\xi_c$")
    ax.set(xlabel="weight variance $\\sigma_w^2$", ylabel="layers", ylim=(-0.5, len(DEPTHS) - 0.5))
    ax.set_xticks(range(len(VARIANCES)), [f"{v:g}" for v in VARIANCES])
    ax.set_yticks(range(len(DEPTHS)), [str(d) for d in DEPTHS])
    ax.set_title("tanh networks on digits, $\\sigma_b^2$ = 0.05")
    ax.legend(loc="upper right")
    ax.figure.colorbar(mesh, label="test accuracy")


def study(seeds: int) -> Study:
    """Every variance at every depth, one learning rate for all."""
    arms = [
        Arm(model=tanh_net, init=None, options={"layers": d, "weight_variance": v}, optimizer="sgd", lr=0.01)
        for v in VARIANCES
        for d in DEPTHS
    ]
    return Study(arms=arms, seeds=seeds, steps=300, looks=1)


def accuracies(results: Results) -> dict[tuple[float, int], tuple[float, ...]]:
    """The test accuracies of each variance and depth, one a seed."""
    return {(v, d): scores(results, layers=d, weight_variance=v) for v in VARIANCES for d in DEPTHS}


def main() -> None:
    asked = arguments(__doc__)
    results = run(study(asked.seeds), asked)
    accuracy = accuracies(results)
    rows = []
    for v in VARIANCES:
        depths = [_depth_of(accuracy, v, seed) for seed in range(asked.seeds)]
        at = [sum(accuracy[v, d]) / asked.seeds for d in DEPTHS]
        rows.append((f"{v:g}", *at, f"{exp(sum(map(log, depths)) / asked.seeds):.0f}", f"{bound(v):.0f}"))
    line = critical_line("tanh", BIAS).weight_variance
    caption = f"Test accuracy, mean of {asked.seeds} seeds; theory: chi_1 = 1 at weight variance {line:.3f}."
    header = ("variance", *(f"{d} layers" for d in DEPTHS), "trains to", "6 xi_c")
    write(
        "trainable_depth",
        __doc__,
        results=[results],
        sections=[table(header, rows, caption=caption)],
        claims=judge(accuracy),
        data={"theory": [{"weight_variance": v, "bound": bound(v)} for v in VARIANCES], "runs": runs(results)},
        figure=figure(lambda ax: drawn(accuracy, ax)),
    )


if __name__ == "__main__":
    main()
