"""Rules about an output activation or a target that make a low loss impossible."""

from collections.abc import Iterator
from functools import partial
from math import inf

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import DEAD_SAMPLES, FLOOR
from gainstage.check.facts.losses import Comparison, comparisons
from gainstage.check.facts.outputs import PROBABILITY
from gainstage.check.findings import Fix, Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import without
from gainstage.check.rules.output.twice import best_logits
from gainstage.theory import Reach, reach

MISSED = Quantity(
    "share of the targets' variance that no output within the bounds can explain",
    warning=Limit(0.02, "Noise around a bound is less."),
    error=Limit(0.3, "Standardized targets: 0.5 behind a ReLU, 0.58 behind a sigmoid, 0.15 behind a tanh."),
)


@rule("OUT505", "error", explains=("DAT603", "OPT808", "OUT518"))
def unreachable_targets(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Finds the values that the output can take at all (0 to 1 behind a sigmoid, 0 and more behind a ReLU, ...) by
    evaluating its last activations on a wide grid, and compares them with the targets. For a regression it measures
    the part of the targets' variance that even the best output must miss,
    $\overline{(\mathrm{clip}(t) - t)^2} / \mathrm{Var}(t)$; for logits the smallest loss that bounded logits permit,
    over that of guessing.

    ## Why is this bad?
    No training gets below that. Where a target lies beyond a bound, the output is driven into the flat part of its
    activation and loses its gradient.

    ## Known problems
    Outputs that are scaled by a learned or stored number have no known bounds. Slight noise of the targets around a
    bound is not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    y, loss = 3 * torch.randn(64, 1), F.mse_loss
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = 3 * torch.randn(64, 1), F.mse_loss
    ```

    ## References
    Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 6.2.2, "Output Units".
    """
    seen = False
    for comparison in comparisons(evidence):
        if comparison.call.op in ("nll_loss", "binary_cross_entropy"):
            continue
        seen = True
        bounds = reach(evidence.graph, comparison.output)
        if not bounds.bounded:
            continue
        if comparison.kind == "numbers":
            yield from _numbers(evidence, comparison, bounds)
        else:
            yield from _logits(evidence, comparison, bounds)
    if not seen:
        raise NotMeasured("the loss compares neither numbers nor logits")


def _numbers(evidence: Evidence, comparison: Comparison, bounds: Reach) -> Iterator[Found | Value]:
    target = comparison.target
    variance = float(target.var(correction=0)) if target.numel() > 1 else 0.0
    scale = variance if variance > 0 else float(target.square().mean())
    missed = target - target.clamp(bounds.low, bounds.high)
    lost = float(missed.square().mean()) / scale if scale > 0 else 0.0
    value = MISSED(lost, evidence.tape.sites[bounds.site].name)
    if not lost > MISSED.warning:
        yield value
        return
    beyond = float((missed != 0).double().mean())
    yield Found(
        "error" if lost > MISSED.error else "warning",
        evidence.tape.sites[bounds.site].name,
        measured=f"{beyond:.0%} of the targets, {_span(float(target.min()), float(target.max()))}, lie beyond the "
        f"output's {_span(bounds.low, bounds.high)}: at least {min(lost, 1.0):.0%} of their variance is missed"
        + (f" ({lost:.3g} times the variance)" if lost > 1 else ""),
        expected="an output that can take every value of the targets",
        message=f"{bounds.op} at the output cannot reach these targets, whatever is learned",
        fix=Fix(
            f"remove the {bounds.op} at the output, or bring the targets into {_span(bounds.low, bounds.high)} "
            "and scale predictions back",
            repair=partial(without, names=[evidence.tape.sites[bounds.site].name]),
        ),
        value=value,
    )


def _logits(evidence: Evidence, comparison: Comparison, bounds: Reach) -> Iterator[Found | Value]:
    if bounds.op in PROBABILITY | {"log_softmax", "softmax"} or comparison.classes < 2:
        return  # a second softmax or sigmoid has a rule of its own
    if comparison.labels is not None and not comparison.labels.numel():
        return
    guess = comparison.guess
    floor = comparison.call.again(best_logits(comparison, bounds.low, bounds.high))
    ratio = floor / guess if guess > 0 else 0.0
    name = evidence.tape.sites[bounds.site].name
    if ratio > FLOOR.note:
        severity: Severity = "error" if ratio > FLOOR.error else "warning" if ratio > FLOOR.warning else "note"
        yield Found(
            severity,
            name,
            measured=f"logits in {_span(bounds.low, bounds.high)}: the loss cannot fall below {floor:.3g}",
            expected=f"unbounded logits; guessing gives {guess:.3g}",
            message=f"{bounds.op} in front of the loss keeps the model from being sure of any answer",
            fix=Fix(
                f"remove the {bounds.op} at the output: the loss takes raw numbers",
                repair=partial(without, names=[name]),
            ),
            value=FLOOR(ratio),
        )
    elif bounds.low == 0 and bounds.high == inf and comparison.kind == "classes":
        yield from _rectified(comparison, name, bounds.op)
    else:
        yield FLOOR(ratio, name)


def _rectified(comparison: Comparison, name: str, op: str) -> Iterator[Found | Value]:
    """Logits behind a ReLU: classes whose logit is 0 for every sample get no gradient."""
    logits = comparison.call.prediction
    rows = logits.movedim(1, -1).reshape(-1, logits.shape[1]) if logits.dim() > 1 else logits[None]
    dead = int((rows <= 0).all(0).sum())
    measured = dead > 0 and len(rows) >= DEAD_SAMPLES
    zeros = float((rows <= 0).double().mean())
    yield Found(
        "error" if measured and dead == rows.shape[1] else "warning",
        name,
        measured=f"{zeros:.0%} of the logits are 0 and get no gradient"
        + (f"; {dead} of {rows.shape[1]} classes for every sample" if dead else ""),
        expected="logits of either sign",
        message=f"{op} in front of the loss cuts off every class whose logit is negative",
        fix=Fix(f"remove the {op} behind the last layer", repair=partial(without, names=[name])),
    )


def _span(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}" if high < inf else f"{low:.3g} and more"


@rule(
    "OUT506",
    "error",
    explains=("OPT808", "OPT804", "OPT815", "OUT501", "OUT514"),
    no_number="targets are probabilities, or they are not",
)
def targets_no_probabilities(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Looks whether the targets of `binary_cross_entropy_with_logits` lie between 0 and 1, and whether the rows of
    floating point targets of `cross_entropy` have the sum 1.

    ## Why is this bad?
    $-t \ln p - (1 - t) \ln(1 - p)$ has no smallest value for a target $t$ of 2 or −1: the loss falls without end and
    the logits run away. Rows with several ones ask a softmax for several sure answers, of which it can give one: with
    $k$ ones no class gets more than $1/k$.

    ## Known problems
    Rows of zeros (nothing is asked of these samples) and rows with a sum below 1 are not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = torch.randn(64, 1).sign(), F.binary_cross_entropy_with_logits
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = (torch.randn(64, 1) > 0).float(), F.binary_cross_entropy_with_logits
    ```

    ## References
    PyTorch documentation of `BCEWithLogitsLoss`: targets "should be numbers between 0 and 1".
    """
    judged = [
        c
        for c in comparisons(evidence)
        if c.kind == "binary" or (c.call.op == "cross_entropy" and c.call.target.is_floating_point())
    ]
    if not judged:
        raise NotMeasured("no loss here takes probabilities as targets")
    for comparison in judged:
        target = comparison.target
        low, high = float(target.min()), float(target.max())
        if low < -1e-3 or (comparison.kind == "binary" and high > 1 + 1e-3):
            values = torch.unique(target)
            named = ", ".join(f"{float(v):.3g}" for v in values[:6]) + (", ..." if len(values) > 6 else "")
            yield Found(
                "error",
                comparison.site.name,
                measured=f"targets of {low:.3g} to {high:.3g} ({named})",
                expected="0 to 1",
                message="for such a target the loss has no smallest value: it falls without end while the logits grow",
                fix=Fix(_repair(low, high, len(values))),
            )
        elif comparison.kind == "classes" and target.dim() > 1:
            sums = target.sum(1)
            several = float((sums > 1.01).double().mean())
            if several > 0:
                yield Found(
                    "warning",
                    comparison.site.name,
                    measured=f"{several:.0%} of the targets' rows have a sum above 1, up to {float(sums.max()):.3g}",
                    expected="rows that are probabilities",
                    message="a softmax shares one unit of probability among the classes and cannot say yes to several",
                    fix=Fix(
                        "for several labels a sample use nn.BCEWithLogitsLoss(), otherwise divide by the row's sum"
                    ),
                )


def _repair(low: float, high: float, values: int) -> str:
    if values == 2:
        return f"map the labels to 0 and 1: (y > {(low + high) / 2:.3g}).float()"
    if values <= 100 and low >= 0:
        return f"for {values} classes give the last layer {values} outputs and use nn.CrossEntropyLoss()"
    return "scale the targets into 0 to 1, or use nn.MSELoss() for targets that are no probabilities"
