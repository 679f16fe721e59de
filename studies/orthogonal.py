"""Learning time over depth, orthogonal against Gaussian (Saxe et al. 2014).

    python studies/orthogonal.py             # 2 minutes of one core

The paper: Saxe, McClelland & Ganguli, *Exact solutions to the nonlinear dynamics of learning in deep linear neural
networks*, ICLR 2014. In deep linear networks, at the best rate of each depth, learning time does not depend on depth
from an orthogonal start, and grows from a Gaussian start of the same mean square, since the singular values of a
product of Gaussian matrices spread with depth; MNIST, up to 100 layers (their figure 6). Near the edge of chaos the
same order holds for tanh networks.

Here: the digits of scikit-learn, width 48, 3 to 48 layers, cross-entropy instead of squares, SGD with batches of 64.
Both starts have gain 1 in all layers and no biases at the start. Learning time is the number of steps until the
validation loss is 0.5, between two looks straight over its logarithm; 300 where it is not reached. The rate of each
arm is the fastest of a grid, on a seed that is not reported.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import log, log2
from typing import Any

from _common import Claim, arguments, between, figure, larger, run, runs, table, write
from gainstage.init import lecun_normal, orthogonal
from gainstage.study import Arm, Outcome, Results, Study

STARTS = {"orthogonal": orthogonal(), "Gaussian": lecun_normal()}  # both keep the mean square of a signal
ACTIVATIONS = ("linear", "tanh")
DEPTHS = (3, 6, 12, 24, 48)
WIDTH = 48
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
STEPS, LOOKS, LEARNED = 300, 100, 0.5
TUNING_SEED = 1000
Key = tuple[str, str, int]


def steps_to(outcome: Outcome, loss: float = LEARNED) -> float:
    """Updates until the validation loss is below `loss`; `STEPS` where it never is."""
    before: tuple[int, float] | None = None
    for look in outcome.curve:
        if look.loss <= loss:
            if before is None or before[1] == float("inf"):
                return float(look.step)
            share = log(before[1] / loss) / log(before[1] / look.loss)
            return before[0] + share * (look.step - before[0])
        before = look.step, look.loss
    return float(STEPS)


def arm(key: Key, rate: float) -> Arm:
    """A network by activation, start and depth."""
    activation, start, depth = key
    return Arm(init=STARTS[start], activation=activation, depth=depth, width=WIDTH, optimizer="sgd", lr=rate)


def keys() -> list[Key]:
    """Every activation, start and depth."""
    return [(activation, start, depth) for activation in ACTIVATIONS for start in STARTS for depth in DEPTHS]


def fastest(outcomes: Sequence[Outcome]) -> float:
    """The rate of `RATES` that learned first; where none did, the one that came to the lowest loss."""
    return min(zip(RATES, outcomes, strict=True), key=lambda pair: (steps_to(pair[1]), pair[1].loss))[0]


def study(arms: Sequence[Arm], seeds: int | Sequence[int]) -> Study:
    return Study(arms=arms, seeds=seeds, steps=STEPS, looks=LOOKS)


def judge(times: dict[Key, list[float]]) -> list[Claim]:
    """The claims, from the learning times of each network, one a seed."""
    shallow, middle, deep = DEPTHS[0], DEPTHS[2], DEPTHS[-1]

    def doublings(activation: str, start: str, depth: int) -> list[float]:
        return [log2(time) for time in times[activation, start, depth]]

    def flat(activation: str) -> Claim:
        ratio = [
            a / b for a, b in zip(times[activation, "orthogonal", deep], times[activation, "orthogonal", shallow],
                                  strict=True)
        ]  # fmt: skip
        text = f"{activation}, orthogonal: learning time does not depend on depth"
        return Claim(text, (between(f"time at {deep} over {shallow} layers: 0.5 to 2", ratio, 0.5, 2.0),))

    def grows(activation: str) -> Claim:
        deepest, start = doublings(activation, "Gaussian", deep), "Gaussian"
        return Claim(
            f"{activation}, Gaussian: learning time grows with depth",
            (
                larger(f"{deep} above {shallow} layers: more than 1 doubling", deepest,
                       doublings(activation, start, shallow), by=1.0),
                larger(f"{deep} above {middle} layers: more than 0 doublings", deepest,
                       doublings(activation, start, middle)),
            ),
        )  # fmt: skip

    def faster(activation: str) -> Claim:
        slow, fast = (doublings(activation, start, deep) for start in ("Gaussian", "orthogonal"))
        text = f"{activation}, deep: orthogonal learns faster than Gaussian"
        return Claim(text, (larger(f"{deep} layers: Gaussian takes more than 0 doublings longer", slow, fast),))

    return [claim(activation) for activation in ACTIVATIONS for claim in (flat, grows, faster)]


def learning_times(results: Results) -> dict[Key, list[float]]:
    """Of the arms in the order of `keys()`."""
    return {
        key: [steps_to(outcome) for outcome in each.outcomes] for key, each in zip(keys(), results.arms, strict=True)
    }


def drawn(times: dict[Key, list[float]], ax: Any) -> None:
    """Learning time over depth; lines are means, bands from the fastest seed to the slowest."""
    for activation, line in zip(ACTIVATIONS, ("-", "--"), strict=True):
        for start, color in zip(STARTS, ("tab:blue", "tab:orange"), strict=True):
            values = [times[activation, start, depth] for depth in DEPTHS]
            means = [sum(v) / len(v) for v in values]
            ax.plot(DEPTHS, means, line, marker="o", color=color, label=f"{activation}, {start}")
            ax.fill_between(DEPTHS, list(map(min, values)), list(map(max, values)), color=color, alpha=0.15)
    ax.set(xscale="log", yscale="log", xlabel="layers", ylabel=f"steps to a validation loss of {LEARNED}")
    ax.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
    ax.minorticks_off()
    ax.set_title("learning time at the fastest rate, digits")
    ax.legend()


def main() -> None:
    asked = arguments(__doc__)
    tried = run(study([arm(key, rate) for key in keys() for rate in RATES], [TUNING_SEED]), asked)
    count = len(RATES)
    first = [each.outcomes[0] for each in tried.arms]
    rates = {key: fastest(first[i * count : (i + 1) * count]) for i, key in enumerate(keys())}
    results = run(study([replace(arm(key, rates[key]), name=" ".join(map(str, key))) for key in keys()], asked.seeds),
                  asked)  # fmt: skip
    times = learning_times(results)
    columns = [(activation, start) for activation in ACTIVATIONS for start in STARTS]

    def cell(activation: str, start: str, depth: int) -> str:
        values = times[activation, start, depth]
        missed = sum(value >= STEPS for value in values)
        return f"{sum(values) / len(values):.0f}{'*' * bool(missed)} (lr {rates[activation, start, depth]:g})"

    rows = [(str(depth), *(cell(*column, depth) for column in columns)) for depth in DEPTHS]
    caption = f"Steps to a validation loss of {LEARNED}, mean of {asked.seeds} seeds (rate);"
    caption += f" *: not reached by some within {STEPS}, which count as {STEPS}."
    write(
        "orthogonal",
        __doc__,
        results=[results],
        sections=[table(("layers", *(", ".join(column) for column in columns)), rows, caption=caption)],
        claims=judge(times),
        data={
            "times": [
                {"activation": a, "start": s, "depth": d, "lr": rates[a, s, d], "steps": times[a, s, d]}
                for a, s, d in keys()
            ],
            "runs": runs(results),
        },
        figure=figure(lambda ax: drawn(times, ax)),
    )


if __name__ == "__main__":
    main()
