"""Deep residual networks without normalization: ReZero, Fixup, scaled branches.

    python studies/residual_depth.py         # 2 minutes of one core

The papers: Zhang, Dauphin & Ma, *Fixup Initialization*, ICLR 2019: with branches that start at zero and small weights
inside them, networks of any depth train without normalization, about as well as with batch normalization. Bachlechner
et al., *ReZero is All You Need*, UAI 2021: one factor a branch, zero at the start, trains any depth and learns faster
than plain and normalized residual networks. De & Smith, *Batch Normalization Biases Residual Blocks Towards the
Identity Function*, NeurIPS 2020: branches times 1/sqrt(blocks) suffice; unscaled ones make the signal grow as 2^blocks.

Here: residual MLPs of width 32 on the digits of scikit-learn instead of CIFAR-10 and ImageNet, 3 to 32 blocks of two
weight layers in pre-activation order, Adam, 200 steps of 64, learning rate tuned for every arm. That a network learns
faster is judged by the mean validation accuracy over its learning curve. "As well as" allows 0.02 of accuracy.
"""

from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn

from _common import Claim, Part, arguments, figure, larger, run, runs, table, write
from gainstage import init
from gainstage.study import Results, Study, grid

KINDS = ("plain", "1/sqrt(L)", "ReZero", "Fixup", "batch")
BLOCKS = (3, 10, 32)
MARGIN = 0.02
Values = dict[tuple[str, int], tuple[float, ...]]


class Plus(nn.Module):
    """`x + b` with one learned number b, 0 at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b


class Block(nn.Module):
    """`x + s * branch(x)`; the number `s` is learned where `learned`."""

    def __init__(self, branch: nn.Module, scale: float = 1.0, *, learned: bool = False) -> None:
        super().__init__()
        self.branch = branch
        self.scale = nn.Parameter(torch.tensor(scale)) if learned else scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.branch(x)


def residual_net(kind: str, blocks: int, width: int = 32) -> nn.Module:
    """A stem, `blocks` residual blocks `x + s * W2 relu(W1 relu(x))`, ReLU and a head; He's weights if not Fixup's."""
    stem, head = nn.Linear(64, width), nn.Linear(width, 10)
    for layer in (stem, head):
        init.xavier_normal_(layer.weight)
        init.zeros_(layer.bias)
    if kind == "Fixup":
        init.zeros_(head.weight)
    return nn.Sequential(nn.Flatten(), stem, *(_block(kind, blocks, width) for _ in range(blocks)), nn.ReLU(), head)


def _block(kind: str, blocks: int, width: int) -> Block:
    weights = [nn.Linear(width, width, bias=kind not in ("Fixup", "batch")) for _ in range(2)]
    for layer in weights:
        init.he_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            init.zeros_(layer.bias)
    if kind == "batch":
        norms = [nn.BatchNorm1d(width) for _ in range(2)]
        return Block(nn.Sequential(norms[0], nn.ReLU(), weights[0], norms[1], nn.ReLU(), weights[1]))
    if kind == "Fixup":
        init.fixup_(weights[0].weight, n_branches=blocks, n_weights=2)
        init.zeros_(weights[1].weight)
        branch = nn.Sequential(Plus(), nn.ReLU(), Plus(), weights[0], Plus(), nn.ReLU(), Plus(), weights[1])
        return Block(branch, learned=True)
    branch = nn.Sequential(nn.ReLU(), weights[0], nn.ReLU(), weights[1])
    if kind == "ReZero":
        return Block(branch, 0.0, learned=True)
    return Block(branch, 1 / sqrt(blocks) if kind == "1/sqrt(L)" else 1.0)


def judge(accuracy: Values, area: Values, resolution: float = 0.0) -> list[Claim]:
    """The claims, from test accuracy and mean validation accuracy of each kind and number of blocks, one a seed."""
    shallow, deep = BLOCKS[0], BLOCKS[-1]

    def not_worse(criterion: str, a: tuple[str, int], b: tuple[str, int]) -> Part:
        return larger(f"{criterion}: above -{MARGIN}", accuracy[a], accuracy[b], by=-MARGIN, resolution=resolution)

    def any_depth(kind: str) -> Part:
        return not_worse(f"accuracy, {deep} blocks - {shallow}", (kind, deep), (kind, shallow))

    def as_batch(kind: str) -> Part:
        return not_worse(f"accuracy at {deep} blocks, {kind} - batch", (kind, deep), ("batch", deep))

    def sooner(kind: str, other: str) -> Part:
        return larger(f"mean over the curve at {deep}, {kind} - {other}: above 0", area[kind, deep], area[other, deep])

    return [
        Claim(
            "Unscaled branches without normalization harm deep networks",
            (
                larger(
                    f"plain, accuracy, {shallow} blocks - {deep}: above {MARGIN}",
                    accuracy["plain", shallow],
                    accuracy["plain", deep],
                    by=MARGIN,
                    resolution=resolution,
                ),
                sooner("batch", "plain"),
            ),
        ),
        Claim("Fixup: trains at any depth, as well as batch", (any_depth("Fixup"), as_batch("Fixup"))),
        Claim("De & Smith: so does 1/sqrt(L)", (any_depth("1/sqrt(L)"), as_batch("1/sqrt(L)"))),
        Claim("ReZero: trains at any depth", (any_depth("ReZero"),)),
        Claim("ReZero: learns faster than the others", (sooner("ReZero", "plain"), sooner("ReZero", "batch"))),
    ]


def study(seeds: int) -> Study:
    """Every kind at every depth, each at its own best rate."""
    options = [{"kind": kind, "blocks": blocks} for kind in KINDS for blocks in BLOCKS]
    arms = grid(model=residual_net, init=None, options=options)
    return Study(arms=arms, seeds=seeds, steps=200, looks=20, rates=(3e-4, 1e-3, 3e-3, 1e-2))


def values(results: Results) -> tuple[Values, Values]:
    """Test accuracy, and mean validation accuracy over the curve, of each kind and number of blocks."""
    keys = [(each.arm.options["kind"], each.arm.options["blocks"]) for each in results.arms]
    accuracy = {key: each.scores for key, each in zip(keys, results.arms, strict=True)}
    area = {key: tuple(o.area for o in each.outcomes) for key, each in zip(keys, results.arms, strict=True)}
    return accuracy, area


def drawn(results: Results, ax: Any) -> None:
    """Learning curves of the deepest networks: mean over the seeds, band from the worst to the best."""
    colors = ("tab:gray", "tab:green", "tab:blue", "tab:purple", "tab:orange")
    for kind, color in zip(KINDS, colors, strict=True):
        (arm,) = [a for a in results.arms if a.arm.options == {"kind": kind, "blocks": BLOCKS[-1]}]
        steps = [look.step for look in arm.outcomes[0].curve]
        each = list(zip(*([look.score for look in outcome.curve] for outcome in arm.outcomes), strict=True))
        ax.plot(steps, [sum(v) / len(v) for v in each], color=color, label=f"{kind} (lr {arm.lr:g})")
        ax.fill_between(steps, list(map(min, each)), list(map(max, each)), color=color, alpha=0.15)
    ax.set(xlabel="steps", ylabel="validation accuracy", ylim=(0, 1))
    ax.set_title(f"residual MLPs of {BLOCKS[-1]} blocks on digits")
    ax.legend(loc="lower right")


def main() -> None:
    asked = arguments(__doc__)
    results = run(study(asked.seeds), asked)
    accuracy, area = values(results)
    rate = {(a.arm.options["kind"], a.arm.options["blocks"]): a.lr for a in results.arms}
    failures = {(a.arm.options["kind"], a.arm.options["blocks"]): a.failures for a in results.arms}

    def mean(of: tuple[float, ...]) -> str:
        return f"{sum(of) / len(of):.3f}"

    def rows(of: Values) -> list[tuple[str, ...]]:
        return [(kind, *(f"{mean(of[kind, b])} (lr {rate[kind, b]:.2g})" for b in BLOCKS)) for kind in KINDS]

    header = ("branches", *(f"{blocks} blocks" for blocks in BLOCKS))
    lost = sum(failures.values())
    caption = f"Test accuracy after 200 steps, mean of {asked.seeds} seeds; {lost} runs failed."
    write(
        "residual_depth",
        __doc__,
        results=[results],
        sections=[
            table(header, rows(accuracy), caption=caption),
            table(header, rows(area), caption="Mean validation accuracy over the learning curve."),
        ],
        claims=judge(accuracy, area, results.resolution),
        data={"runs": runs(results)},
        figure=figure(lambda ax: drawn(results, ax)),
    )


if __name__ == "__main__":
    main()
