"""What the batches say: a loader that stands still, or goes round."""

from collections.abc import Iterator

import numpy as np

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History
from gainstage.watch.table import Array

STUCK = Limit(5, "batches in a row; random batches of distinct samples never repeat.")


@watched("OPT818", "error", explains=("RUN",))
def repeated_batch(history: History) -> Iterator[Found]:
    """## What it does
    Compares a sample of 64 numbers of every batch with that of the batch before.

    ## Why is this bad?
    A loader that gives the same batch again and again trains a model of one batch, with a loss that looks splendid.

    ## Known problems
    Training on the whole data set at once, where every batch is the same from the start, is not reported.

    ## References
    PyTorch documentation, `torch.utils.data`.
    """
    steps = history.steps
    run = 0
    for step in reversed(steps):
        if not step.same:
            break
        run += 1
    different = sum(not s.same for s in steps[: len(steps) - run])
    if run >= STUCK and different > STUCK:
        yield Found(
            "error",
            "batch",
            measured=f"the batch of step {steps[-run].step - 1} was given {run + 1} times in a row",
            expected="batches that differ",
            message=f"since step {steps[-run].step} the loader gives the same batch",
            fix=Fix("look at the iterator: next(iter(loader)) in the loop, a cache, an exhausted or failed worker"),
        )


ROUNDS = 3  # times that a series of batches must come in the same order


@watched("RUN012", "note", explains=("RUN003",))
def repeated_order(history: History) -> Iterator[Found]:
    """## What it does
    Compares the levels of the batches (root mean square of 64 of their numbers, which are equal where batches are
    equal) and finds a series of batches that has come three times in the same order.

    ## Why is this bad?
    Batches that are the same in every epoch let a model learn who sits beside whom, most of all with batch
    normalization; a loader that goes round a few batches, which did not before, has lost the rest of its data.

    ## Known problems
    A loader that is not shuffled on purpose is reported too, as a note.

    ## References
    Bottou, *Curiously Fast Convergence of some Stochastic Gradient Descent Algorithms*, 2009.
    """
    steps = [s for s in history.steps if np.isfinite(s.level)]
    levels = np.array([s.level for s in steps])
    period = _period(levels)
    if period is None:
        return
    rounds = levels[period:] == levels[:-period]
    start = int(len(rounds) - rounds[::-1].argmin()) if not rounds.all() else 0  # the first batch that came again
    late = start >= max(20, period) and history.steps[0].step == 1
    since = steps[start].step
    yield Found(
        "warning" if late else "note",
        "batch",
        measured=f"the same {period} batches in the same order, {(len(levels) - start) / period:.1f} times"
        + (f" since step {since}" if late else ""),
        expected="another order in every epoch",
        message=f"since step {since} the loader goes round {period} batches" if late else "the data are not shuffled",
        fix=Fix(f"look at what happened to the loader at step {since}" if late else "DataLoader(..., shuffle=True)"),
    )


def _period(levels: Array) -> int | None:
    """After how many batches the last ones come again, twice; None where they do not, or are hardly different."""
    if len(levels) < 2 * ROUNDS:
        return None
    for place in np.flatnonzero(levels[:-1] == levels[-1])[::-1]:
        period = len(levels) - 1 - int(place)
        if period * ROUNDS > len(levels):
            return None
        seen = levels[-period * ROUNDS :]
        if period > 1 and (seen[period:] == seen[:-period]).all() and len(set(seen[:period])) > period / 2:
            return period
    return None
