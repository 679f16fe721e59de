"""Largest learning rate with and without BatchNorm (Bjorck 2018, Santurkar 2018).

    python studies/learning_rate.py          # 2 minutes of one core

The papers: Bjorck, Gomes, Selman & Weinberger, *Understanding Batch Normalization*, NeurIPS 2018: the main gain of
batch normalization is that larger learning rates can be used; at the small rate that a network without it needs, it
gains little. Santurkar, Tsipras, Ilyas & Madry, *How Does Batch Normalization Help Optimization?*, NeurIPS 2018: the
gain is not from less covariate shift, since noise after each normalization, with a mean and a variance that change at
every step, makes the shift larger than without normalization and leaves the gain.

Here: a ReLU MLP of 12 layers of width 64 on the digits of scikit-learn instead of ResNet-110 and VGG on CIFAR-10,
plain SGD, 300 steps of 64. A rate is usable where the network reaches a test accuracy of 0.9; the grid has two rates a
decade. The noise is that of Santurkar's appendix: n_mu = 0.5, n_sigma = 1.25, r_mu = r_sigma = 0.1. Covariate shift is
how far the mean of a unit before its ReLU moves from one step to the next, over the standard deviation of that unit,
each step on its own batch, averaged over units, layers and 60 steps at a rate of 0.01 that all three can use.
"""

from math import log10, sqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from _common import Claim, alike, arguments, figure, larger, run, runs, scores, table, write
from gainstage.study import Arm, Results, Study, load
from gainstage.train import minibatches

NORMS = ("none", "batch", "batch with noise")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
USABLE = 0.9  # test accuracy
LAYERS, WIDTH = 12, 64
SHIFT_RATE, SHIFT_STEPS = 0.01, 60


class ChangingNoise(nn.Module):
    """Scales and shifts every entry at random, in training: by numbers whose distribution is new at every step.

    At each step a unit draws a mean in +-`n_mu` and a deviation in 1 to `n_sigma`, and each sample its shift within
    +-`r_mu` of that mean and its scale with deviation `r_sigma` around that deviation.
    """

    def __init__(self, n_mu: float = 0.5, n_sigma: float = 1.25, r_mu: float = 0.1, r_sigma: float = 0.1) -> None:
        super().__init__()
        self.n_mu, self.n_sigma, self.r_mu, self.r_sigma = n_mu, n_sigma, r_mu, r_sigma

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        mean = self.n_mu * (2 * torch.rand(x.shape[1]) - 1)
        deviation = 1 + (self.n_sigma - 1) * torch.rand(x.shape[1])
        shift = mean + self.r_mu * (2 * torch.rand(x.shape[0], x.shape[1]) - 1)
        scale = deviation + self.r_sigma * torch.randn(x.shape[0], x.shape[1])
        return x * scale + shift


def mlp(kind: str) -> nn.Module:
    """12 ReLU layers of 64 with He's weights, normalized, normalized and disturbed, or neither; and a head."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(LAYERS):
        linear = nn.Linear(WIDTH, WIDTH, bias=kind == "none")
        nn.init.normal_(linear.weight, std=sqrt(2 / WIDTH))
        if linear.bias is not None:
            nn.init.zeros_(linear.bias)
        layers.append(linear)
        layers += [nn.BatchNorm1d(WIDTH)] * (kind != "none")
        layers += [ChangingNoise()] * (kind == "batch with noise")
        layers.append(nn.ReLU())
    head = nn.Linear(WIDTH, 10)
    nn.init.normal_(head.weight, std=sqrt(1 / WIDTH))
    nn.init.zeros_(head.bias)
    return nn.Sequential(*layers, head)


def largest_usable(accuracies: dict[float, float]) -> float:
    """The largest rate that reaches `USABLE`; half a decade below the grid where none does."""
    usable = [rate for rate, accuracy in accuracies.items() if accuracy >= USABLE]
    return max(usable, default=min(accuracies) / sqrt(10))


def covariate_shift(norm: str, seed: int) -> float:
    """How far the mean of a unit moves between two steps, over its standard deviation; see above."""
    train = load("digits").train
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = mlp(norm)
        inputs: list[Tensor] = []
        for layer in model:
            if isinstance(layer, nn.ReLU):
                layer.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
        optimizer = torch.optim.SGD(model.parameters(), lr=SHIFT_RATE)
        before: Tensor | None = None
        moved: list[float] = []
        for x, y in minibatches(*train, batch_size=64, steps=SHIFT_STEPS, seed=seed):
            inputs.clear()
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen = torch.stack(inputs)  # layers, samples, units
            mean, spread = seen.mean(1), seen.std(1)
            if before is not None:
                moved.append(float(((mean - before).abs() / spread.clamp(min=1e-6)).mean()))
            before = mean
    return sum(moved) / len(moved)


def judge(
    usable: dict[str, list[float]], shift: dict[str, list[float]], at_small: dict[str, list[float]]
) -> list[Claim]:
    """The claims.

    Args:
        usable: for each norm the largest usable rate of each seed.
        shift: for each norm the covariate shift of each seed.
        at_small: for each norm the accuracy of each seed at the rate that the network without norm can use at most.
    """
    decades = {norm: [log10(rate) for rate in rates] for norm, rates in usable.items()}
    plain, batch, noisy = NORMS
    return [
        Claim(
            "Bjorck: batch normalization allows larger learning rates",
            (larger("decades above none: more than 0.5", decades[batch], decades[plain], by=0.5),),
        ),
        Claim(
            "Bjorck: at the small rate that the network without it needs, it gains little",
            (alike("accuracy there, batch - none: within 0.02", at_small[batch], at_small[plain], within=0.02),),
        ),
        Claim(
            "Santurkar: the gain is not from less covariate shift",
            (
                larger("noise: shift above that of none", shift[noisy], shift[plain]),
                larger("noise: decades above none: more than 0.5", decades[noisy], decades[plain], by=0.5),
                alike("noise - batch: within 0.5 decades", decades[noisy], decades[batch], within=0.5),
            ),
        ),
    ]


def study(seeds: int) -> Study:
    """Every network at every rate."""
    arms = [
        Arm(model=mlp, init=None, options={"kind": norm}, optimizer="sgd", lr=rate) for norm in NORMS for rate in RATES
    ]
    return Study(arms=arms, seeds=seeds, steps=300, looks=1)


def by_rate(results: Results, norm: str) -> dict[float, tuple[float, ...]]:
    """The accuracies of a network at every rate, one a seed."""
    return {rate: scores(results, kind=norm, lr=rate) for rate in RATES}


def drawn(accuracy: dict[str, dict[float, tuple[float, ...]]], ax: Any) -> None:
    """Accuracy over the learning rate; lines are means, bands from the worst seed to the best."""
    for norm, marker, color in zip(NORMS, "osD", ("tab:blue", "tab:orange", "tab:green"), strict=True):
        values = list(accuracy[norm].values())
        ax.plot(RATES, [sum(v) / len(v) for v in values], marker=marker, color=color, label=norm)
        ax.fill_between(RATES, list(map(min, values)), list(map(max, values)), color=color, alpha=0.2)
    ax.axhline(USABLE, color="gray", linestyle=":", label="usable")
    ax.set(xscale="log", xlabel="learning rate of SGD", ylabel="test accuracy", ylim=(0, 1))
    ax.set_title("MLP of 12 layers on digits, 300 steps")
    ax.legend()


def main() -> None:
    asked = arguments(__doc__)
    results = run(study(asked.seeds), asked)
    accuracy = {norm: by_rate(results, norm) for norm in NORMS}
    seeds = range(asked.seeds)
    usable = {n: [largest_usable({r: own[s] for r, own in accuracy[n].items()}) for s in seeds] for n in NORMS}
    shift = {norm: [covariate_shift(norm, seed) for seed in seeds] for norm in NORMS}
    small = {n: [accuracy[n][_nearest(usable["none"][s])][s] for s in seeds] for n in NORMS}
    first = [(f"{r:g}", *(sum(accuracy[n][r]) / asked.seeds for n in NORMS)) for r in RATES]
    second = [(n, *(f"{rate:g}" for rate in usable[n]), sum(shift[n]) / asked.seeds) for n in NORMS]
    write(
        "learning_rate",
        __doc__,
        results=[results],
        sections=[
            table(("rate", *NORMS), first, caption=f"Test accuracy, mean of {asked.seeds} seeds."),
            table(
                ("norm", *(f"seed {s}" for s in seeds), "shift"),
                second,
                caption="Largest usable rate of each seed, and covariate shift in standard deviations, mean.",
            ),
        ],
        claims=judge(usable, shift, small),
        data={"usable": usable, "shift": shift, "runs": runs(results)},
        figure=figure(lambda ax: drawn(accuracy, ax)),
    )


def _nearest(rate: float) -> float:
    """The rate of the grid; its smallest where none was usable."""
    return min(RATES, key=lambda each: abs(log10(each / rate)))


if __name__ == "__main__":
    main()
