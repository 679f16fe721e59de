"""Rules about the size of the step."""

from collections.abc import Iterator
from math import isfinite, log, log10
from statistics import median
from typing import Any

from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import optimizers, scheduled, stepping, virtual
from gainstage.check.findings import Found, Severity
from gainstage.check.probes.optimizer_step import OptimizerStep
from gainstage.check.thresholds import (
    NEGLIGIBLE_STEP,
    RATE_FURTHER,
    RATE_HIGH_ERROR,
    RATE_HIGH_GAIN,
    RATE_HIGH_PEAK,
    RATE_LOW_FACTOR,
    RATE_LOW_GAIN,
    RATIO_HIGH,
    RATIO_LOW,
    ROUNDED_WARNING,
    SMALL_STEP,
)


@rule("OPT804", "rate-too-high", "error", explains=("OPT806", "TRN"))
def too_high(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Lets the optimizer make one step on the example and reads the loss. Where it rises, or the weights move by a
    large part of themselves, sixteen more steps on the same batch show whether it comes down again.

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
    step = evidence.once(virtual)
    if step.slope >= 0:
        return
    ratios = [move.ratio for name, move in step.moves.items() if evidence.trainable[name].dim() > 1 and move.weight]
    if step.losses[0] <= step.before and not (ratios and median(ratios) > RATIO_HIGH):
        return
    found = stepping(evidence, further=int(RATE_FURTHER), patience=1 + RATE_HIGH_PEAK)
    first, last = found.before, found.losses[-1]
    lowest, highest = min(found.losses[len(found.losses) // 2 :]), max(found.losses)
    fails = not isfinite(last) or lowest > first + RATE_HIGH_ERROR * abs(first)
    peaked = highest - first > RATE_HIGH_PEAK * abs(first)
    if not fails and lowest <= first - (RATE_HIGH_GAIN * abs(first) if peaked else 0.0):
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
            f"divide the learning rate by {10 ** max(1, round(-log10(factor))) if factor else 10:,}, or warm up to it",
            [],
        ),
    )


@rule("OPT805", "rate-too-low", "warning", explains=("OPT806", "TRN"))
def too_low(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Where one step of the optimizer hardly changes the loss: makes the same step 10, 100 and 1,000 times as long, and
    looks whether the loss goes on falling.

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
    step = evidence.once(virtual)
    if any(scheduled(optimizer) for optimizer in evidence.once(optimizers)):
        raise NotMeasured("a schedule holds the learning rate below its base at present")
    lost = median(move.lost for move in step.moves.values()) if step.moves else 0.0
    if lost >= ROUNDED_WARNING:
        yield Found(
            "error" if all(not move.update for move in step.moves.values()) else "warning",
            _rates(evidence),
            measured=f"after one step {lost:.1%} of the entries are bit for bit as before, in the median parameter",
            expected="entries that change where there is a gradient",
            message=f"the step is less than the precision of {_precision(evidence)} can hold, and is rounded away",
            fix=evidence.fix("raise the learning rate, or keep the parameters in float32", []),
        )
        return
    if _learned(evidence):
        raise NotMeasured("the model has learned these targets already")
    lasting, size = _lasting(evidence), abs(step.before)
    if step.slope >= 0 or -step.slope * lasting > SMALL_STEP * size:
        return
    factors = [10.0**n for n in range(1, round(log10(RATE_LOW_FACTOR)) + 1)]
    losses = [step.losses[0], *(stepping(evidence, factor=factor).losses[0] for factor in factors)]
    gain = (step.before - losses[-1]) / (-step.slope * factors[-1])
    if gain < RATE_LOW_GAIN or losses != sorted(losses, reverse=True):
        return
    severity: Severity = "warning" if -step.slope * lasting < NEGLIGIBLE_STEP * size else "note"
    yield Found(
        severity,
        _rates(evidence),
        measured=f"one step takes {-step.slope:.1e} off a loss of {step.before:.4g}; one {factors[-1]:,.0f} times as "
        f"long takes off {step.before - losses[-1]:.1e}",
        expected=f"a step {factors[-1]:,.0f} times as long brings less than in proportion",
        message="the learning rate is more than a thousand times below what this batch allows",
        fix=evidence.fix(f"multiply the learning rate by {factors[-1]:,.0f}", []),
    )


@rule("OPT806", "update-ratio", "note")
def ratio(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Measures $\lVert \Delta w \rVert / \lVert w \rVert$, the update over the weight, for every weight after one step of
    the optimizer, and looks at the median.

    ## Why is this bad?
    About 1e-3 is usual. A step as large as the weight itself wipes out the start; one of a millionth will not move
    the weight in any reasonable time.

    ## Known problems
    A sign that the learning rate is worth a look, hence a note: `OPT804` and `OPT805` measure the harm. Weights that
    start at zero have no ratio.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ```

    ## References
    Karpathy, CS231n, *Ratio of weights:updates*; Ben Braiek, Khomh, *TheDeepChecker*, 2022.
    """
    step = evidence.once(virtual)
    ratios = {
        name: move.ratio
        for name, move in step.moves.items()
        if evidence.trainable[name].dim() > 1 and move.weight and isfinite(move.ratio) and move.update
    }
    if not ratios:
        raise NotMeasured("no weight of two or more axes is moved")
    middle = median(ratios.values())
    middle *= 1.0 if middle > RATIO_HIGH else _lasting(evidence)
    if RATIO_LOW <= middle <= RATIO_HIGH:
        return
    high = middle > RATIO_HIGH
    worst = max(ratios, key=lambda name: ratios[name] if high else -ratios[name])
    yield Found(
        "note",
        worst,
        measured=f"update over weight is {ratios[worst]:.1e} here, {middle:.1e} in the median of {len(ratios)} weights",
        expected=f"a median from {RATIO_LOW:.0e} to {RATIO_HIGH:g}",
        message="the first step is of the size of the weights" if high else "one step hardly moves the weights",
        fix=evidence.fix("lower the learning rate" if high else "raise the learning rate", []),
    )


def _best_multiple(step: OptimizerStep) -> float | None:
    """Where on the way of the step a parabola through its slope and its end is lowest."""
    bend = 2 * (step.losses[0] - step.before - step.slope)
    return -step.slope / bend if isfinite(bend) and bend > 0 else None


def _rates(evidence: Evidence) -> str:
    """The optimizers by name, with their learning rates."""
    rates = {o: [f"{float(group['lr']):.2g}" for group in o.param_groups] for o in evidence.once(optimizers)}
    return ", ".join(f"{type(o).__name__}(lr={'/'.join(dict.fromkeys(found))})" for o, found in rates.items())


def _learned(evidence: Evidence) -> bool:
    """Whether the loss is far below that of guessing: half of a cross-entropy, a tenth of a variance."""
    target, loss = evidence.target, evidence.tape.loss or 0.0
    for site in evidence.tape.sites:
        if site.op == "cross_entropy" and site.forward is not None:
            shape = evidence.graph.shapes[site.argument(0, "input").site]
            return site.forward.mean < 0.5 * log(max(shape[1] if len(shape) > 1 else shape[0], 2))
    if isinstance(target, Tensor) and target.is_floating_point() and target.numel() > 1:
        return 0 <= loss < 0.1 * float(target.float().var())
    return False


def _precision(evidence: Evidence) -> str:
    return str(next(iter(evidence.trainable.values())).dtype).removeprefix("torch.")


def _lasting(evidence: Evidence) -> float:
    """How much longer steps become in a row, by momentum that has not been built up yet."""
    factors = [1.0]
    for optimizer in evidence.once(optimizers):
        if not optimizer.state:
            factors += [1 / (1 - group["momentum"]) for group in optimizer.param_groups if 0 < _momentum(group) < 1]
    return max(factors)


def _momentum(group: dict[str, Any]) -> float:
    return group["momentum"] if isinstance(group.get("momentum"), float) else 0.0
