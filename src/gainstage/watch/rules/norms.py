"""What batch normalizations keep for evaluation: statistics that stand still, or drift away from the batches."""

from collections.abc import Iterator

import numpy as np

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import LOSS, watched
from gainstage.watch.history import History


@watched("NRM404", "warning", explains=LOSS)
def frozen_statistics(history: History) -> Iterator[Found]:
    """## What it does
    Looks whether the stored statistics of batch normalizations, which moved before, still move in training mode.

    ## Why is this bad?
    In evaluation mode the network then uses statistics of weights of long ago.

    ## Known problems
    Statistics that never moved (a frozen backbone) are not reported.

    ## References
    Ioffe, Szegedy, *Batch Normalization*, ICML 2015.
    """
    if history.now.training is False:
        return
    curves, ratio = history.curves("norms", "stored"), history.curves("norms", "ratio")
    first = curves.first()
    moved = np.array([len(set(first[:, p])) == 3 for p in range(len(curves.names))], dtype=bool)
    still = [
        s
        for s in curves.stretches(curves.values == curves.last)
        if s.reports >= 3 and moved[s.place] and curves.counts[s.place] >= 5
    ]
    if still:
        name, place, step, _ = still[0]
        yield Found(
            "warning",
            name,
            measured=f"the stored statistics have not moved since step {step}, in {len(still)} layers; their variance "
            f"is {ratio.last[place]:.3g} of the batch's",
            expected="statistics that follow the batches",
            message="batch normalization no longer updates what evaluation will use",
            fix=Fix("look for momentum=0, track_running_stats or a part in eval(); gs.train.update_batchnorm repairs"),
        )


AWAY = Limit(0.5, "standard deviations, as in check; benchmarks/results/watch_limits.txt: at most 0.43 after 50 steps.")
WIDE = Limit(3.0, "times the variance of the batch, or a third of it.")
SETTLED = 50  # steps in which statistics find their place


@watched("NRM410", "warning", explains=("RUN011",))
def drifting_statistics(history: History) -> Iterator[Found]:
    """## What it does
    Compares in training mode the stored mean and variance of batch normalizations with those of the batch at each
    report, and finds layers in which they were alike and have drifted apart.

    ## Why is this bad?
    Training uses the batch, evaluation what is stored: the two networks are no longer the same. Statistics that follow
    too slowly (a momentum near 0), two kinds of batches that take turns, or data that have changed do this.

    ## Known problems
    What never was alike is not reported, nor the first 50 steps.

    ## References
    Ioffe, Szegedy, *Batch Normalization*, ICML 2015, section 3.1. Wu, Johnson, *Rethinking "Batch" in BatchNorm*, 2021.
    """
    if history.now.training is False:
        return
    shift, ratio = history.curves("norms", "shift"), history.curves("norms", "ratio")
    if not len(shift.steps):
        return
    stored = history.curves("norms", "stored")
    apart = (shift.values > AWAY) | (ratio.values > WIDE) | (ratio.values < 1 / WIDE)
    frozen = {s.name for s in stored.stretches(stored.values == stored.last) if s.reports >= 3}
    drifted = [
        s
        for s in shift.stretches(apart)
        if s.reports >= 4
        and s.step > SETTLED
        and s.name not in frozen
        and not apart[(shift.steps > SETTLED / 2) & (shift.steps < s.step), s.place].all()
    ]
    if drifted:
        name, place, step, _ = min(drifted, key=lambda s: s.step)
        yield Found(
            "warning",
            name,
            measured=f"stored means are {shift.last[place]:.2g} standard deviations from the batch's, the stored "
            f"variance is {ratio.last[place]:.2g} times it; so in {len(drifted)} of {len(shift.names)} layers",
            expected=f"within {AWAY:g}, and {WIDE:g} times",
            message=f"since about step {step} evaluation would run on other statistics than training",
            fix=Fix("raise the layer's momentum, look whether the data changed; gs.train.update_batchnorm repairs"),
        )
