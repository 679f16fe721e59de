"""Rules about the size of the step."""

from collections.abc import Iterator
from math import inf, isfinite, log, log10
from statistics import median

from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.optimizer_step import OptimizerStep
from gainstage.check.facts.limits import RATIO_HIGH
from gainstage.check.facts.steps import (
    completed,
    faster,
    lasting,
    optimizers,
    own,
    scheduled,
    slower,
    stepping,
    virtual,
)
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import ops

RISE = Quantity(
    "rise of the lowest loss of the second half of the steps on one batch, over the loss before",
    warning=Limit(0.0, "On the batch that it is trained on a loss falls."),
    error=Limit(
        0.1,
        "Digits (ReLU, 2 and 4 layers): 0.09 to 0.10 = chance wherever the loss is still above its start (Adam at "
        "1; SGD at 3 and 10).",
    ),
)
RATE_FURTHER = Limit(
    16,
    "Further steps on one batch, of which the better half counts: oscillations of momentum 0.9 last about 10.",
)
MOST = 10_000  # beyond, what the rate is to be cannot be told from one step
RATE_CALM = Limit(
    0.1,
    "Fall of the loss at a tenth of the rate, which shows that the rate is what makes it rise: 0.3 to 0.9 on digits "
    "and springs where it was; below 0 where batch normalization of few samples, or an adversary, raised it.",
)
RATE_HIGH_PEAK = Limit(
    10.0,
    "Rise of the highest loss. Digits: 0.68 and less where it is 10 or more; below, 0.95 at 1 and 0.59 at 5 (Adam "
    "at 0.1, 2 and 4 layers), but 0.09 at 4 as well (SGD at 0.3 with momentum, 4 layers).",
)
RATE_HIGH_GAIN = Limit(
    0.2,
    "Fall of the lowest loss of the second half, below which a peak is harm. Digits: 0.09 to 0.11 at 0.04 to 0.14 "
    "after a peak (Adam at 0.3, 4 layers; SGD at 3 and 10), 0.24 at 0.29 and 0.68 at 0.53 (Adam at 1 and 0.3, 2 "
    "layers).",
)


@rule("OPT804", "error", explains=("OPT806", "OPT815", "TRN901", "TRN902"))
def rate_too_high(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Lets the optimizer make one step on the example and reads the loss. Where it rises, or the weights move by a
    large part of themselves, sixteen more steps on the same batch show whether it comes down again. With a
    `train_step`, its own steps are judged: where the loss on the example is higher after them, they are made again at
    a tenth of the rate.

    ## Why is this bad?
    A step that overshoots makes the loss larger although the gradient promised a smaller one. If the same batch is
    still worse after them, training does not proceed.

    ## Known problems
    One batch, no warm-up other than the schedule's present state, and clipping is known only through `train_step`. A
    loss that rises once and then falls is usual at large learning rates and not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ```

    ## References
    LeCun, Simard, Pearlmutter, *Automatic Learning Rate Maximization by On-Line Estimation of the Hessian's
    Eigenvectors*, NeurIPS 1992; Lewkowycz et al., *The Large Learning Rate Phase of Deep Learning*, 2020.
    """
    step = virtual(evidence)
    if step.slope >= 0:
        return
    ratios = [move.ratio for name, move in step.moves.items() if evidence.trainable[name].dim() > 1 and move.weight]
    if (risen := _risen(evidence)) is not None:
        yield risen
        return
    if step.losses[0] <= step.before and not (ratios and median(ratios) > RATIO_HIGH.note):
        return
    found = stepping(evidence, further=int(RATE_FURTHER), patience=1 + RATE_HIGH_PEAK)
    first, last = found.before, found.losses[-1]
    lowest, highest = min(found.losses[len(found.losses) // 2 :]), max(found.losses)
    fails = not isfinite(last) or lowest > first + RISE.error * abs(first)
    peaked = highest - first > RATE_HIGH_PEAK * abs(first)
    value = RISE((lowest - first) / abs(first) if first else inf)
    if not fails and lowest <= first - (RATE_HIGH_GAIN * abs(first) if peaked else 0.0):
        yield value
        return
    factor = _best_multiple(found)
    yield Found(
        "error" if fails else "warning",
        _rates(evidence),
        measured=f"on one batch the loss goes from {first:.4g} to {found.losses[0]:.4g} in one step, is {highest:.3g} "
        f"at its highest and {last:.4g} after {len(found.losses)} steps; the gradient predicts {found.slope:+.2g}",
        expected="a loss that falls on the batch that it is trained on",
        message="the step overshoots"
        + (f": along it the loss is lowest at about {factor:.1g} of its length" if factor else ""),
        fix=evidence.fix(
            f"divide the learning rate by {min(10 ** max(1, round(-log10(factor))), MOST) if factor else 10:,}, "
            "or warm up to it",
            [],
        ),
        value=value,
    )


def _risen(evidence: Evidence) -> Found | None:
    """Real steps after which the example's loss is higher, where the same steps at a tenth of the rate lower it."""
    if evidence.train_step is None or own(evidence).error:
        return None
    before, after = evidence.loss_measured(), completed(evidence).after
    if after <= before or (after != after and not completed(evidence).broken):
        return None
    try:
        calm = slower(evidence)
    except NotMeasured:
        return None
    if calm.error or not (before - calm.after) / abs(before) > RATE_CALM:
        return None
    losses = [loss for loss in completed(evidence).losses if isfinite(loss)]
    return Found(
        "error",
        _rates(evidence),
        measured=f"{len(completed(evidence).calls)} calls of train_step take the loss on the example from {before:.4g} "
        f"to {after:.4g}, {max(losses, default=inf):.3g} at its highest; at a tenth of the rate to {calm.after:.4g}",
        expected="a loss that falls",
        message="the steps are too long: with momentum they grow over the first calls",
        fix=evidence.fix("divide the learning rate by 10, or warm up to it", []),
        value=RISE((after - before) / abs(before) if isfinite(after) else inf),
    )


STEP = Quantity(
    "share of the loss that one step takes away to first order, momentum counted",
    note=Limit(1e-5, "10 % in 10,000 steps."),
    warning=Limit(
        1e-6,
        "At most 1 % in 10,000 steps. Zoo: lowest 1e-4 with Adam at 1e-3; 2e-7 (words by negative sampling) with "
        "SGD at 0.01 and momentum 0.9.",
    ),
)
GAIN = Quantity(
    "share of the example's loss that the calls of train_step take away",
    warning=Limit(
        0.005,
        "Must besides be 0.25 at 30 times the rate, or 0.05 at 1,000 times. Fault suite: lowest healthy 0.03 (LoRA).",
    ),
)
RATE_LOW_FACTOR = Limit(1e3, "How many times as long a step is tried; the usual rates span 1e-5 to 1.")
RATE_LOW_GAIN = Limit(
    0.5,
    "Fall of the loss at the longest step over what the slope at the start predicts: above, it still falls in "
    "proportion, so the best step is longer still; a parabola is at its lowest where it has fallen by this much.",
)


@rule("OPT805", "warning", explains=("OPT806", "TRN901", "TRN902"))
def rate_too_low(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Where one step of the optimizer hardly changes the loss: makes the same step 10, 100 and 1,000 times as long, and
    looks whether the loss goes on falling. With a `train_step` whose calls bring nothing, makes these again at 30 and
    1,000 times the rate.

    ## Why is this bad?
    If a step a thousand times as long is better still, training needs a thousand times as many steps as it could. In
    low precision such steps are rounded away altogether.

    ## Known problems
    Not judged while a schedule holds the rate below its base. A model that is trained already has nothing to gain.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    ```

    ## References
    Smith, *Cyclical Learning Rates for Training Neural Networks*, WACV 2017, section 3.3 (the range test).
    """
    step = virtual(evidence)
    if any(scheduled(optimizer) for optimizer in optimizers(evidence)):
        raise NotMeasured("a schedule holds the learning rate below its base at present")
    if _learned(evidence):
        raise NotMeasured("the model has learned these targets already")
    if (idle := _idle(evidence)) is not None:
        yield idle
        return
    size = abs(step.before)
    if step.slope >= 0 or size == 0:
        return
    value = STEP(-step.slope * lasting(evidence) / size)
    if value.number > STEP.note:
        yield value
        return
    factors = [10.0**n for n in range(1, round(log10(RATE_LOW_FACTOR)) + 1)]
    losses = [step.losses[0], *(stepping(evidence, factor=factor).losses[0] for factor in factors)]
    gain = (step.before - losses[-1]) / (-step.slope * factors[-1])
    if gain < RATE_LOW_GAIN or losses != sorted(losses, reverse=True):
        yield value
        return
    severity: Severity = "warning" if value.number < STEP.warning else "note"
    yield Found(
        severity,
        _rates(evidence),
        measured=f"one step takes {-step.slope:.1e} off a loss of {step.before:.4g}; one {factors[-1]:,.0f} times as "
        f"long takes off {step.before - losses[-1]:.1e}",
        expected=f"a step {factors[-1]:,.0f} times as long brings less than in proportion",
        message="the learning rate is more than a thousand times below what this batch allows",
        fix=evidence.fix(f"multiply the learning rate by {factors[-1]:,.0f}", []),
        value=value,
    )


def _idle(evidence: Evidence) -> Found | None:
    """Real steps that bring nothing, where the same steps at a far higher rate bring much."""
    if evidence.train_step is None or own(evidence).error:
        return None
    before, step = evidence.loss_measured(), completed(evidence)
    rates = [rate for call in step.calls for rate in call.rates]
    gain = (before - step.after) / abs(before)
    if not abs(gain) < GAIN.warning or not rates or max(rates) > rates[0] or step.skipped:
        return None
    try:
        factor, quick = faster(evidence)
    except NotMeasured:
        return None
    if max(quick.losses, default=inf) > 2 * max(step.losses):
        return None
    return Found(
        "warning",
        _rates(evidence),
        measured=f"{len(step.calls)} calls of train_step take {gain:.2%} off the loss on the example, {before:.4g}; at "
        f"{factor:g} times the learning rate they take off {(before - quick.after) / before:.0%}",
        expected=f"more than {GAIN.warning:.0%}, or no more at a higher rate",
        message="the learning rate is far below what this training allows: about "
        f"{len(step.calls) / max(gain, 1e-9):,.0f} steps at this pace for all of the loss",
        fix=evidence.fix(f"multiply the learning rate by about {factor / 3:.0f}", []),
        value=GAIN(gain),
    )


def _best_multiple(step: OptimizerStep) -> float | None:
    """Where on the way of the step a parabola through its slope and its end is lowest."""
    bend = 2 * (step.losses[0] - step.before - step.slope)
    return -step.slope / bend if isfinite(bend) and bend > 0 else None


def _rates(evidence: Evidence) -> str:
    """The optimizers by name, with their learning rates."""
    rates = {o: [f"{float(group['lr']):.2g}" for group in o.param_groups] for o in optimizers(evidence)}
    return ", ".join(f"{type(o).__name__}(lr={'/'.join(dict.fromkeys(found))})" for o, found in rates.items())


def _learned(evidence: Evidence) -> bool:
    """Whether the loss is far below that of guessing: half of a cross-entropy, a tenth of a variance."""
    target, loss = evidence.target, evidence.tape.loss or 0.0
    for site in evidence.tape.sites:
        if site.op == "cross_entropy" and site.forward is not None:
            shape = evidence.graph.shapes[ops.argument(site, "input").site]
            return site.forward.mean < 0.5 * log(max(shape[1] if len(shape) > 1 else shape[0], 2))
    if isinstance(target, Tensor) and target.is_floating_point() and target.numel() > 1:
        return 0 <= loss < 0.1 * float(target.float().var())
    return False
