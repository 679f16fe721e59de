"""What the gradients say: parts that get none any more, norms that grow or vanish."""

from collections.abc import Iterator
from math import isfinite
from statistics import median

import numpy as np

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History
from gainstage.watch.rules.losses import MOVED, start
from gainstage.watch.table import Curves


@watched("BWD303", "warning", explains=("RUN002", "RUN003", "RUN006"))
def missing_gradient(history: History) -> Iterator[Found]:
    """## What it does
    Looks for parameters whose gradient is exactly 0 or missing in the last three reports, and was not before.

    ## Why is this bad?
    They are no longer trained: a branch is detached, switched off or dead.

    ## Known problems
    Experts that a router does not choose are told by its own rule.

    ## References
    PyTorch documentation, *Autograd mechanics*.
    """
    idle = history.curves("routers", "unused").values[-3:]
    if len(history.readings) < 6 or (idle.size and (idle > 0).any(1).all()):
        return
    curves = history.curves("parameters", "gradient")
    lost = [
        (step, name)
        for name, place, step, reports in curves.stretches(curves.values == 0)
        if reports >= 3 and _trained(curves, place, step)
    ]
    if lost:
        step, name = min(lost)
        yield Found(
            "warning",
            name,
            measured=f"no gradient since step {step}, in {len(lost)} of {len(curves.names)} parameters",
            expected="a gradient in every report, as before",
            message="this part is no longer trained",
            fix=Fix(
                "look for detach(), no_grad(), requires_grad_(False) or a branch that is switched off at that step"
            ),
        )


def _trained(curves: Curves, place: int, until: int) -> bool:
    """Whether the three reports before a step have seen a gradient here."""
    before = curves.values[curves.steps < until, place]
    before = before[np.isfinite(before)][-3:]
    return len(before) == 3 and bool((before > 0).all())


GROWN = Limit(100.0, "times the median of the first reports; healthy nets of the tests: at most 12.")
GONE = Limit(1e-4, "of the median of the first reports, while the loss is still above half of its start.")


def whole(history: History) -> Curves:
    """Norm of the whole gradient as it arrives, in every report."""
    steps, norms = history.curves("parameters", "arrived").total()
    return Curves(steps, ["gradient"], norms[:, None])


@watched("BWD302", "warning", explains=("RUN002", "RUN003"))
def exploding_gradient(history: History) -> Iterator[Found]:
    """## What it does
    Follows the norm of the whole gradient before clipping, and finds where it left the size that it began with.

    ## Why is this bad?
    Steps become noise, or clipping takes all of them.

    ## Known problems
    Losses that are summed and batches that grow make gradients grow too.

    ## References
    Pascanu, Mikolov, Bengio, *On the Difficulty of Training Recurrent Neural Networks*, ICML 2013.
    """
    curves = whole(history)
    if len(curves.steps) < 8:
        return
    first, now = float(np.median(curves.values[:5])), float(curves.last[0])
    for _, _, step, reports in curves.stretches(curves.values > GROWN * first):
        if not first > 0 or reports < 3:
            continue
        yield Found(
            "warning",
            "gradient",
            measured=f"norm {now:.3g}, {first:.3g} at first; beyond {GROWN:g} times since step {step}",
            expected=f"within {GROWN:g} times of the start",
            message="the gradient explodes",
            fix=Fix("clip its norm, lower the rate; look which parameter's grew first"),
        )


@watched("BWD301", "warning", explains=("RUN006",))
def vanishing_gradient(history: History) -> Iterator[Found]:
    """## What it does
    Follows the norm of the whole gradient, and finds where it vanished although the loss is still large.

    ## Why is this bad?
    Nothing is learned any more: units are saturated or dead.

    ## Known problems
    A loss with a large smallest value (entropy of the data) is no plateau; a gradient of a ten-thousandth is.

    ## References
    Hochreiter, *Untersuchungen zu dynamischen neuronalen Netzen*, 1991.
    """
    curves = whole(history)
    if len(curves.steps) < 8 or not history.steps:
        return
    first, now = float(np.median(curves.values[:5])), float(curves.last[0])
    start = median(s.loss for s in history.steps[:10])
    for _, _, step, reports in curves.stretches(curves.values < GONE * first):
        if reports < 3 or not history.now.loss > 0.5 * start > 0:
            continue
        yield Found(
            "warning",
            "gradient",
            measured=f"norm {now:.2g}, {first:.2g} at first, at a loss of {history.now.loss:.3g}",
            expected=f"above {GONE:g} of the start while the loss is large",
            message=f"since step {step} the gradient has vanished",
            fix=Fix("look for saturated or dead units in watch.report; gs.check shows where the signal ends"),
        )


HEAVY = Limit(10.0, "times its start, while the median parameter grew less than 2 times.")


@watched("RUN009", "note", explains=("FWD203", "RUN002", "RUN003", "BWD302", "BWD303"))
def growing_norm(history: History) -> Iterator[Found]:
    """## What it does
    Follows the norm of every parameter, and finds one that runs away from the others; a warning where the loss has left
    its best since.

    ## Why is this bad?
    An embedding or output head that grows alone makes logits that saturate the softmax, and overflows half precision.

    ## Known problems
    What starts at zero grows without bound, and is left out.

    ## References
    Wortsman et al., *Small-scale Proxies for Large-scale Transformer Training Instabilities*, ICLR 2024.
    """
    curves = history.curves("parameters", "weight")
    if len(curves.names) < 4 or len(curves.steps) < 8:
        return
    first = curves.first(1)[0]
    growth = np.where(first > 1e-3, curves.last / np.maximum(first, 1e-3), np.nan)
    if np.isfinite(growth).sum() < 4:
        return
    usual, place = float(np.nanmedian(growth)), int(np.nanargmax(growth))
    if growth[place] > HEAVY and usual < 2:
        losses = [s.loss for s in history.steps if isfinite(s.loss)]
        tens = [median(losses[i : i + 10]) for i in range(0, len(losses) - 9, 10)]
        worse = bool(tens) and tens[-1] - min(tens) > MOVED * start(history)
        yield Found(
            "warning" if worse else "note",
            curves.names[place],
            measured=f"norm {growth[place]:.3g} times that of the start, {usual:.2g} in the median parameter",
            expected=f"within {HEAVY:g} times",
            message="this parameter grows away from the others",
            fix=Fix("give it weight decay or a lower rate; add z-loss where it is the output head"),
        )
