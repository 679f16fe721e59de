"""What the learning rates do: jumps, and steps that are too large from the first on."""

from collections.abc import Iterator
from math import isfinite, isnan
from statistics import median

import numpy as np

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History
from gainstage.watch.table import Array

JUMP = Limit(3.0, "times the largest rate before; warm-up grows by less a step once it is under way.")
STEADY = 10  # steps that the largest rate before must be old
SOON = 20  # steps after which a start is judged
LEAP = Limit(0.05, "update over weight at step 1; benchmarks/results/watch_limits.txt: at most 0.036.")
RISEN = Limit(1.5, "times the loss of step 1, in the median of steps 11 to 20.")


@watched(
    "OPT804",
    "error",
    explains=(
        "RUN001",
        "RUN002",
        "RUN003",
        "RUN006",
        "BWD302",
        "FWD201",
        "FWD203",
        "FWD204",
        "FWD206",
        "OPT815",
        "FWD208",
        "RUN009",
    ),
)
def rate_too_high(history: History) -> Iterator[Found]:
    """## What it does
    Looks for a learning rate, of all groups or of one, that jumps beyond all rates before it, and for updates that grow
    with it; and at the start for first steps that are large and drive the loss up.

    ## Why is this bad?
    Beyond the largest stable rate every step overshoots: the loss rises, units die, or numbers overflow.

    ## Known problems
    Rates of a warm-up, which grow step by step, and restarts, which go back to where they were, are not reported.

    ## References
    Cohen et al., *Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability*, ICLR 2021.
    """
    steps, sizes = ratios(history)
    if (found := _from_the_start(history, steps, sizes)) is not None:
        yield found
        return
    curves = history.curves("groups", "rate")
    ways = [("optimizer", [(s.step, s.rate) for s in history.steps if isfinite(s.rate)])]
    ways += [
        (f"group {name}", [(int(s), float(v)) for s, v in zip(curves.steps, curves.values[:, place], strict=True)])
        for place, name in enumerate(curves.names)
    ]
    for where, rates in ways:
        for step, largest, rate in _jumps(rates):
            before, after = sizes[steps < step][-10:], sizes[steps >= step]
            if len(before) and len(after) and after.max() > 2 * np.median(before):
                yield Found(
                    "error",
                    where,
                    measured=f"rate {largest:.3g} until step {step - 1}, {rate:.3g} since; update over weight "
                    f"{np.median(before):.2g}, now {after.max():.2g}",
                    expected=f"no jump beyond {JUMP:g} times the largest rate before",
                    message=f"since step {step} the steps are {rate / largest:.3g} times as large",
                    fix=Fix(f"go back to a rate of {largest:.3g}; look at what sets it at step {step}"),
                )
                return


def ratios(history: History) -> tuple[Array, Array]:
    """Norm of all updates over that of all weights, in every report that has measured a step."""
    steps, update = history.curves("parameters", "update").total()
    weight = history.curves("parameters", "weight").total()[1]
    return steps, np.where(weight > 0, update / np.maximum(weight, 1e-300), 0.0)


def _jumps(rates: list[tuple[int, float]]) -> Iterator[tuple[int, float, float]]:
    """Step, largest rate before, and rate, where a rate leaves all before it and these had stood for some steps."""
    largest, since = 0.0, 0
    for step, rate in rates:
        if largest > 0 and rate > JUMP * largest and step - since >= STEADY:
            yield step, largest, rate
        if rate > largest:
            largest, since = rate, step


def _from_the_start(history: History, steps: Array, sizes: Array) -> Found | None:
    """Steps that are large from the first on, and a loss that they drive up: the model as it starts is the measure."""
    losses = [s.loss for s in history.steps[:SOON] if not isnan(s.loss)]
    if len(losses) < SOON - 1 or not len(sizes) or history.steps[0].step != 1 or steps[0] != 1:
        return None
    start, later = losses[0], median(losses[SOON // 2 :])
    if not (sizes[0] > LEAP and isfinite(start) and start > 0 and later > RISEN * start):
        return None
    rate = max((rate for r in history.readings[:2] for rate in r.rate), default=0.0)
    return Found(
        "error",
        "optimizer",
        measured=f"the first step changes the weights by {sizes[0]:.2g} of their norm; loss {start:.3g} at step 1, "
        f"{later:.3g} around step {SOON * 3 // 4}",
        expected=f"a loss that falls from its start, or steps below {LEAP:g}",
        message="since step 1 every step overshoots",
        fix=Fix(f"divide the rate of {rate:.3g} by 10, or warm it up"),
    )
