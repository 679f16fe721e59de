"""What the batches say: a loader that stands still."""

from collections.abc import Iterator

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History

STUCK = Limit(5, "batches in a row; random batches of distinct samples never repeat.")


@watched("RUN004", "error", explains=("RUN",))
def stuck_batch(history: History) -> Iterator[Found]:
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
