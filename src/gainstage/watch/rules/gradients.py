"""What the gradients say: parts that get none any more, norms that grow or vanish."""

from collections.abc import Iterator
from statistics import median

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History, began
from gainstage.watch.reading import Reading, number


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
    last = history.readings[-3:]
    if len(history.readings) < 6 or all(any(number(r.unused) > 0 for r in now.routers.values()) for now in last):
        return
    lost = []
    for name in history.now.parameters:
        series = history.series(lambda r, name=name: r.parameters[name].gradient if name in r.parameters else None)  # type: ignore[misc]
        step = began(series, lambda v: v == 0)
        if step is not None and sum(s >= step for s, _ in series) >= 3:
            before = [v for s, v in series if s < step]
            if len(before) >= 3 and all(v > 0 for v in before[-3:]):
                lost.append((step, name))
    if lost:
        step, name = min(lost)
        yield Found(
            "warning",
            name,
            measured=f"no gradient since step {step}, in {len(lost)} of {len(history.now.parameters)} parameters",
            expected="a gradient in every report, as before",
            message="this part is no longer trained",
            fix=Fix(
                "look for detach(), no_grad(), requires_grad_(False) or a branch that is switched off at that step"
            ),
        )


GROWN = Limit(100.0, "times the median of the first reports; healthy nets of the tests: at most 12.")
GONE = Limit(1e-4, "of the median of the first reports, while the loss is still above half of its start.")


def total(reading: Reading) -> float:
    """Norm of the whole gradient as it arrives."""
    return float(sum(number(p.arrived) ** 2 for p in reading.parameters.values()) ** 0.5)


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
    series = history.series(lambda r: total(r) if r.parameters else None)
    if len(series) < 8:
        return
    first = median(v for _, v in series[:5])
    step = began(series, lambda v: v > GROWN * first)
    if first > 0 and step is not None and sum(s >= step for s, _ in series) >= 3:
        yield Found(
            "warning",
            "gradient",
            measured=f"norm {series[-1][1]:.3g}, {first:.3g} at first; beyond {GROWN:g} times since step {step}",
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
    series = history.series(lambda r: total(r) if r.parameters else None)
    if len(series) < 8 or not history.steps:
        return
    first = median(v for _, v in series[:5])
    step = began(series, lambda v: v < GONE * first)
    start = median(s.loss for s in history.steps[:10])
    if step is not None and sum(s >= step for s, _ in series) >= 3 and history.now.loss > 0.5 * start > 0:
        yield Found(
            "warning",
            "gradient",
            measured=f"norm {series[-1][1]:.2g}, {first:.2g} at first, at a loss of {history.now.loss:.3g}",
            expected=f"above {GONE:g} of the start while the loss is large",
            message=f"since step {step} the gradient has vanished",
            fix=Fix("look for saturated or dead units in watch.report; gs.check shows where the signal ends"),
        )


HEAVY = Limit(10.0, "times its start, while the median parameter grew less than 2 times.")


@watched("RUN009", "note")
def growing_norm(history: History) -> Iterator[Found]:
    """## What it does
    Follows the norm of every parameter, and finds one that runs away from the others.

    ## Why is this bad?
    An embedding or output head that grows alone makes logits that saturate the softmax, and overflows half precision.

    ## Known problems
    What starts at zero grows without bound, and is left out.

    ## References
    Wortsman et al., *Small-scale Proxies for Large-scale Transformer Training Instabilities*, ICLR 2024.
    """
    first, now = history.readings[0].parameters, history.now.parameters
    growth = {n: number(now[n].weight) / w for n in now if n in first and (w := number(first[n].weight)) > 1e-3}
    if len(growth) < 4 or len(history.readings) < 8:
        return
    usual = median(growth.values())
    name = max(growth, key=lambda n: growth[n])
    if growth[name] > HEAVY and usual < 2:
        yield Found(
            "note",
            name,
            measured=f"norm {growth[name]:.3g} times that of the start, {usual:.2g} in the median parameter",
            expected=f"within {HEAVY:g} times",
            message="this parameter grows away from the others",
            fix=Fix("give it weight decay or a lower rate; add z-loss where it is the output head"),
        )
