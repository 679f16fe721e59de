"""The learning rate of each arm: the best of a short log grid, by the validation part and seeds of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from gainstage.study._arm import Arm
from gainstage.study._trial import Outcome, Trial

STEP = 10**0.5  # between neighbours of a grid
WIDER = 2  # how many neighbours are tried beyond an end of the grid that turns out best
START = {"sgd": 1e-2, "momentum": 1e-3, "adam": 1e-4, "adamw": 1e-4, "rmsprop": 1e-4}
POINTS = 5

CarryOut = Callable[[Sequence[Trial]], Sequence[Outcome]]


@dataclass(frozen=True)
class Tuned:
    """The rate of an arm, and how it was found.

    Attributes:
        lr: the best rate.
        tried: `(lr, mean validation score)` in ascending order of the rate; empty where the rate was given.
        at_edge: the best rate is the smallest or the largest that was tried.
    """

    lr: float
    tried: tuple[tuple[float, float], ...]
    at_edge: bool


def grid_of(arm: Arm, rates: Sequence[float] | None) -> tuple[float, ...]:
    """The rates to try: those given, else five half decades that suit the optimizer."""
    if rates is not None:
        return tuple(sorted(rates))
    return tuple(float(f"{START[arm.optimizer] * STEP**i:.2g}") for i in range(POINTS))


def tune(
    arms: Sequence[Arm],
    trial: Callable[[Arm, int], Trial],
    carry_out: CarryOut,
    *,
    seeds: Sequence[int],
    rates: Sequence[float] | None,
) -> list[Tuned]:
    """The rate of each arm; all arms are tried together.

    Where nobody gave a grid, an arm whose best rate is at an end of its own goes on from there.

    The best rate has the highest mean validation score over the seeds; of equal ones it has the lowest validation loss.

    Args:
        arms: with `lr` a number, or `"tuned"`.
        trial: makes the trial of an arm and a seed.
        carry_out: turns trials into outcomes.
        seeds: of the tuning, none of which is reported.
        rates: the grid, or None for that of the arm's optimizer.

    Returns:
        One for each arm.
    """
    found: list[dict[float, list[Outcome]]] = [{} for _ in arms]
    ask = {i: list(grid_of(arm, rates)) for i, arm in enumerate(arms) if arm.lr == "tuned"}
    for _ in range(WIDER + 1 if rates is None else 1):
        wanted = [(i, lr, seed) for i, some in ask.items() for lr in some for seed in seeds]
        outcomes = carry_out([trial(replace(arms[i], lr=lr), seed) for i, lr, seed in wanted])
        for (i, lr, _seed), outcome in zip(wanted, outcomes, strict=True):
            found[i].setdefault(lr, []).append(outcome)
        ask = {i: beyond for i in ask if (beyond := _beyond(found[i]))}
    return [_tuned(arm, by_rate) for arm, by_rate in zip(arms, found, strict=True)]


def _beyond(by_rate: Mapping[float, list[Outcome]]) -> list[float]:
    """The neighbour of the best rate outside of the grid, where the best one is at its end."""
    best, ordered = _best(by_rate), sorted(by_rate)
    if len({_merit(outcomes) for outcomes in by_rate.values()}) == 1:
        return []  # no rate trains it
    if best == ordered[-1]:
        return [float(f"{best * STEP:.2g}")]
    return [float(f"{best / STEP:.2g}")] if best == ordered[0] else []


def _best(by_rate: Mapping[float, list[Outcome]]) -> float:
    return max(sorted(by_rate), key=lambda lr: _merit(by_rate[lr]))


def _merit(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    return fmean(o.validation for o in outcomes), -fmean(o.loss for o in outcomes)


def _tuned(arm: Arm, by_rate: Mapping[float, list[Outcome]]) -> Tuned:
    if not by_rate:
        return Tuned(float(arm.lr), (), at_edge=False)
    best, ordered = _best(by_rate), sorted(by_rate)
    tried = tuple((lr, fmean(o.validation for o in by_rate[lr])) for lr in ordered)
    return Tuned(best, tried, at_edge=best in (ordered[0], ordered[-1]))
