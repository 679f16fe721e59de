"""Rules about probabilities and logarithms in front of the loss: once too often, or missing."""

from collections.abc import Iterator, Mapping
from functools import partial

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import FLOOR
from gainstage.check.facts.losses import Comparison, comparisons, heard_loss
from gainstage.check.facts.outputs import (
    PROBABILITY,
    ROUNDING,
    SOFTMAX,
    are_log_probabilities,
    are_probabilities,
    at_output,
)
from gainstage.check.findings import Fix, Found, Severity
from gainstage.check.repairs import without
from gainstage.signal import Ref, Site, ops
from gainstage.theory import reach

_WITH_LOGITS = {
    "cross_entropy": "nn.CrossEntropyLoss() applies log_softmax itself",
    "binary_cross_entropy_with_logits": "nn.BCEWithLogitsLoss() applies the sigmoid itself",
}


@rule("OUT503", "warning", explains=("OUT505",))
def double_softmax(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Looks whether `cross_entropy` is given probabilities instead of logits (by their values: not negative, with the
    sum 1), `binary_cross_entropy_with_logits` the output of a sigmoid, or one softmax the output of another.

    ## Why is this bad?
    These losses apply the softmax or sigmoid themselves. Probabilities lie within 1 of each other, so the second
    softmax cannot say more than $e / (e + C - 1)$: the loss stops far above 0, and its gradient is about $C$ times
    smaller. On digits, plain SGD reaches an accuracy of 0.48 instead of 0.95.

    ## Known problems
    Twice `log_softmax` is harmless, because the second changes nothing, and is a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Softmax(dim=1))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    ```

    ## References
    PyTorch documentation of `CrossEntropyLoss`: "The input is expected to contain the unnormalized logits".
    """
    try:
        compared = [c for c in comparisons(evidence) if c.call.op in _WITH_LOGITS]
    except NotMeasured:
        compared = []
    chains = [(first, site) for site in evidence.tape.sites if (first := _softmax_behind(evidence, site)) is not None]
    if not compared and not any(s.op in SOFTMAX for s in evidence.tape.sites):
        raise NotMeasured("the loss takes no logits and nothing is normalized twice")
    evidence.measured()
    for comparison in compared:
        last = reach(evidence.graph, comparison.output)
        name = evidence.tape.sites[last.site].name
        if comparison.call.op == "cross_entropy" and last.op == "log_softmax":
            yield Found(
                "note",
                name,
                measured="log_softmax before cross_entropy, which applies it again",
                expected="logits, or nll_loss behind a log_softmax",
                message="the second log_softmax changes nothing and only costs time",
                fix=Fix("remove the log_softmax, or use nn.NLLLoss()"),
            )
        elif _probable(comparison, last.low, last.high, last.op):
            yield _twice(comparison, name)
    for first, second in chains:
        yield Found(
            "warning",
            second.name,
            measured=f"{second.op} of the output of {first.name}",
            expected="logits",
            message="the second softmax sees numbers within 1 of each other and can hardly tell classes apart",
            fix=Fix(f"remove {first.name}", repair=partial(without, names=[first.name])),
        )


def _probable(comparison: Comparison, low: float, high: float, op: str) -> bool:
    if comparison.call.op == "cross_entropy" and comparison.classes < 2:
        return False
    if comparison.call.op == "cross_entropy" and are_probabilities(comparison.call.prediction):
        return True
    return low >= 0 and high <= 1 and (low, high) != (0.0, 0.0) and op in PROBABILITY | {"mul", "div", "rdiv", "add"}


def _twice(comparison: Comparison, name: str) -> Found:
    best = best_logits(comparison, 0.0, 1.0)
    floor, guess = comparison.call.again(best), comparison.guess
    severity: Severity = "error" if guess > 0 and floor > FLOOR.error * guess else "warning"
    return Found(
        severity,
        name,
        measured=f"{comparison.call.op} is given numbers between 0 and 1: it cannot fall below {floor:.3g}",
        expected=f"logits; guessing gives {guess:.3g}",
        message=f"{_WITH_LOGITS[comparison.call.op]}, and probabilities are no logits: the smallest loss stays high "
        "and the gradient small",
        fix=Fix(
            "remove the softmax or sigmoid at the end of the model, and apply it only to read off probabilities",
            repair=partial(without, names=[name]),
        ),
        value=FLOOR(floor / guess) if guess > 0 else None,
    )


def best_logits(comparison: Comparison, low: float, high: float) -> torch.Tensor:
    """The prediction with the smallest loss among those within bounds (at most 30 in size)."""
    low, high = max(low, -30.0), min(high, 30.0)
    like, target = comparison.call.prediction.float(), comparison.call.target
    if comparison.kind == "binary":
        return torch.where(target.float() > 0.5, high, low).expand_as(like)
    if target.is_floating_point():
        return torch.where(target >= target.amax(1, keepdim=True), high, low).float()
    chosen = target.clamp(0, comparison.classes - 1).unsqueeze(1)
    return torch.full_like(like, low).scatter(1, chosen, high)


def _softmax_behind(evidence: Evidence, site: Site) -> Site | None:
    """The softmax whose probabilities a softmax at the output is given."""
    if site.op not in SOFTMAX or not site.inputs or not at_output(evidence, site.index):
        return None
    first = evidence.tape.sites[evidence.graph.source(site.inputs[0])]
    return first if first.op == "softmax" and first.index not in evidence.graph.constant else None


@rule(
    "OUT504",
    "error",
    explains=("FWD206", "OUT514", "OUT518"),
    no_number="numbers are logarithms of probabilities, or they are not",
)
def no_log_probabilities(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Looks whether the numbers that `nll_loss` and `kl_div` are given are logarithms of probabilities: whether their
    exponentials have the sum 1. Looks for a logarithm of `log_softmax` or `logsigmoid`, and for numbers beyond 0 and 1
    that are clipped to probabilities in front of a logarithm, as the losses of Keras do.

    ## Why is this bad?
    `nll_loss` only picks the number of the right class. Raw outputs can grow without end, so the loss has no smallest
    value and the other classes are never pushed down; of probabilities it is $-p$, whose gradient is small exactly
    where the model is wrong. A second logarithm is NaN, because log-probabilities are negative. What is clipped has no
    gradient.

    ## Known problems
    Checked on the values of one batch.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = F.nll_loss
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.LogSoftmax(dim=1))
    loss = F.nll_loss
    ```

    ## References
    PyTorch documentation of `NLLLoss`: "The input given through a forward call is expected to contain log-probabilities
    of each class".
    """
    evidence.measured()
    doubled = [site for site in evidence.tape.sites if site.op == "log" and _log_behind(evidence, site)]
    for site in doubled:
        yield Found(
            "error",
            site.name,
            measured=f"the logarithm of {_log_behind(evidence, site)}",
            expected="one logarithm",
            message="log-probabilities are negative, and the logarithm of a negative number is NaN",
            fix=Fix("remove the second logarithm"),
        )
    try:
        calls = [call for call in heard_loss(evidence).calls if call.op in ("nll_loss", "kl_div")]
    except NotMeasured:
        calls = []
    clipped = dict(_clipped(evidence))
    if not calls and not doubled and not clipped:
        raise NotMeasured("the loss calls neither nll_loss nor kl_div, and clips nothing to probabilities")
    if not calls:
        yield from _beyond(evidence, clipped)
    for call in calls:
        sites = [s for s in evidence.tape.sites if s.op == call.op and not s.is_leaf]
        values = call.prediction
        axes = [1 if values.dim() > 1 else 0] if call.op == "nll_loss" else range(values.dim())
        if call.number >= len(sites) or not values.numel() or not bool(values.isfinite().all()):
            continue
        given = ops.argument(sites[call.number], "input")
        if not isinstance(given, Ref) or any(are_log_probabilities(values, axis) for axis in axes):
            continue
        if call.op == "kl_div" and are_log_probabilities(values.flatten(), 0):
            continue  # normalized over all entries, as in t-SNE
        probable = any(are_probabilities(values, axis) for axis in axes)
        bounded = reach(evidence.graph, given.site).high <= 0
        yield Found(
            "warning" if probable or bounded else "error",
            sites[call.number].name,
            measured=f"{call.op} is given {'probabilities' if probable else 'numbers'} whose exponentials do not add up"
            f" to 1 (between {float(values.min()):.3g} and {float(values.max()):.3g})",
            expected="log-probabilities, at most 0",
            message="of probabilities the loss is -p, with hardly a gradient where the model is wrong"
            if probable
            else "the loss only asks the output of the right class to grow, and never the others to shrink",
            fix=Fix(
                "use nn.CrossEntropyLoss() on raw outputs, or F.log_softmax(x, dim=1) before nn.NLLLoss()"
                if call.op == "nll_loss"
                else "give kl_div F.log_softmax(x, dim=-1)"
            ),
        )


def _beyond(evidence: Evidence, clipped: Mapping[int, int]) -> Iterator[Found]:
    for site, before in clipped.items():
        given = evidence.forward(before)
        if given.minimum < -ROUNDING or given.maximum > 1 + ROUNDING:
            yield Found(
                "warning",
                evidence.tape.sites[site].name,
                measured=f"numbers from {given.minimum:.3g} to {given.maximum:.3g} are clipped to probabilities",
                expected="numbers from 0 to 1",
                message="the loss takes the logarithm of probabilities: what is beyond 0 and 1 is cut off, without "
                "gradient",
                fix=Fix("end the model in a sigmoid or softmax, or use the loss that takes logits (from_logits=True)"),
            )


def _clipped(evidence: Evidence) -> Iterator[tuple[int, int]]:
    """Sites in the loss that clip what the model computes to 0 and 1 in front of a logarithm, with what they clip."""
    graph, sites = evidence.graph, evidence.tape.sites
    for site in sites:
        if site.kind != "loss" or ops.of(site).name != "clamp" or site.index in graph.constant:
            continue
        low, high = ops.argument(site, "min"), ops.argument(site, "max")
        numbers = isinstance(low, float | int) and isinstance(high, float | int)
        if not numbers or not (0 <= low < 0.1 and 0.9 < high <= 1):
            continue
        read = [sites[after].op for after in graph.consumers[site.index]]
        turned = [a for a in graph.consumers[site.index] if ops.of(sites[a]).name == "sub"]
        read += [sites[after].op for index in turned for after in graph.consumers[index]]
        before = [evidence.made_by(ref.site) for ref in graph.data(site.index)]
        if {"log", "binary_cross_entropy"} & set(read) and before and sites[before[0]].forward is not None:
            yield site.index, before[0]


def _log_behind(evidence: Evidence, site: Site) -> str:
    first = evidence.tape.sites[evidence.graph.source(site.inputs[0])] if site.inputs else site
    negative = ops.of(first).high == 0
    return first.name if negative and first.index not in evidence.graph.constant else ""
