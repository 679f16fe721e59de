"""The rule about fitting a few samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite, log
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.training import rows_of, train
from gainstage.check.facts.steps import asked, optimizers
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import ops

SECONDS = 4.0  # for each of at most four runs
RATES = (1e-3, 1e-2, 1e-4)


@dataclass(frozen=True)
class Run:
    """A training run on a few samples: with what, the losses, and whether it was given all its steps."""

    name: str
    losses: list[float]
    complete: bool

    @property
    def lowest(self) -> float:
        """The lowest loss; infinity where the run began with NaN."""
        return min((loss for loss in self.losses if loss == loss), default=float("inf"))

    @property
    def still_falling(self) -> bool:
        """Whether the last third of the steps has brought the loss down by at least 2 % more."""
        last = len(self.losses) // 3
        return min(self.losses[-last:], default=0.0) < 0.98 * min(self.losses[:-last], default=0.0)


FALL = Quantity(
    "fall of the cross-entropy of a few samples below guessing",
    warning=Limit(0.5, "Half of guessing is asked for."),
    error=Limit(0.05, "A fall below this is none: the loss of the few samples stays where it is."),
)
ANY_FALL = Quantity(
    "fall of a few samples' loss, whose lowest value is not known, over the loss at the start",
    warning=Limit(0.005, "That of soft labels of entropy 2.27 starts at 2.31."),
)
STEPS = Quantity(
    "steps of the run that comes down to what is asked for",
    error=Limit(150, "Zoo, the best of three rates: half of the models need 16, 95 % at most 120."),
)
OVERFIT_SAMPLES = Limit(16, "One small batch, as TheDeepChecker and Karpathy's recipe use it.")


@rule("TRN901", "error")
def no_overfit(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Trains on 16 samples of the example for up to 150 steps, with the given optimizer and with Adam at three learning
    rates, until one brings the cross-entropy to half of guessing, and undoes it.

    ## Why is this bad?
    A model that cannot learn 16 samples by heart will not learn a thousand: the loss, the way of the labels or the
    gradient is broken, whatever the data.

    ## Known problems
    A loss other than a cross-entropy of one label a sample need only fall: its lowest value is not known. Dropout is
    off. A loss that still falls at the end is a note. Where the time (4 seconds a run) ends first, nothing is said.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4), nn.Sigmoid())
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Karpathy, *A Recipe for Training Neural Networks*, 2019: "overfit one batch"; Ben Braiek, Khomh, *TheDeepChecker*,
    2022.
    """
    asked(evidence)
    start, base, runs = attempts(evidence)
    goal = _goal(start, base)
    if any(run.lowest <= goal for run in runs):
        first = runs[0]
        if first.complete and not first.lowest < start and len(runs) > 1:
            yield Found(
                "warning",
                first.name,
                measured=f"on {OVERFIT_SAMPLES:.0f} samples the loss {start:.4g} never falls in {len(first.losses)} "
                f"steps; with {runs[-1].name} it falls to {runs[-1].lowest:.4g}",
                expected="a loss that falls",
                message="the model can learn these samples, and this optimizer does not",
                fix=evidence.fix(f"use {runs[-1].name}", []),
            )
        yield STEPS(len(runs[-1].losses), runs[-1].name)
        return
    complete = [run for run in runs if run.complete]
    if not complete:
        raise NotMeasured(f"no run of {STEPS.error:.0f} steps was complete within {SECONDS:.0f} seconds")
    best = min(runs, key=lambda run: run.lowest)
    known = base is not None
    if base is None:
        none, value = best.lowest > goal, ANY_FALL((start - best.lowest) / abs(start) if start else 0.0)
    else:
        none, value = best.lowest > (1 - FALL.error) * min(start, base), FALL(1 - best.lowest / min(start, base))
    yield Found(
        "error" if none else "note" if best.still_falling else "warning",
        type(evidence.model).__name__,
        measured=f"on {OVERFIT_SAMPLES:.0f} samples the loss falls from {start:.4g} to no less than {best.lowest:.4g} "
        f"in {len(best.losses)} steps of {best.name}" + (f"; guessing gives {base:.4g}" if known else ""),
        expected=f"below {goal:.4g}",
        message="the model cannot learn a handful of samples by heart, at any of "
        f"{len(runs)} settings ({', '.join(run.name for run in runs)})",
        fix=evidence.fix(
            "look at the loss and the output first: do the labels reach the loss, and can the output reach them?", []
        ),
        value=value,
    )


@fact
def attempts(evidence: Evidence) -> tuple[float, float | None, list[Run]]:
    """The loss of a few samples, that of guessing their labels, and runs until one is good enough."""
    example, target = few_samples(evidence)
    given = {"target": target, "loss": evidence.loss, "seed": evidence.seed}
    runs: list[Run] = []
    goal = float("-inf")
    start, base = float("nan"), None
    for name, optimizer in _choices(evidence):
        steps = int(STEPS.error)
        try:
            if not runs:
                start = train(evidence.model, example, optimizer, steps=1, seconds=SECONDS, **given)[0][0]
                base = _guess(evidence, target)
                goal = _goal(start, base)
            losses, _ = train(evidence.model, example, optimizer, steps=steps, seconds=SECONDS, enough=goal, **given)
        except Exception as error:  # a few samples may be no input of this model, as nodes without their edges
            raise NotMeasured(f"a few samples cannot be trained on: {type(error).__name__}: {error}") from error
        runs.append(Run(name, losses, len(losses) == steps or not isfinite(losses[-1])))
        if runs[-1].lowest <= goal:
            break
    return start, base, runs


def few_samples(evidence: Evidence) -> tuple[Any, Any]:
    """The first 16 samples of the example and their targets."""
    batch = evidence.tape.batch
    if batch is None or batch <= OVERFIT_SAMPLES:
        return evidence.example, evidence.target
    chosen = torch.arange(int(OVERFIT_SAMPLES))
    return rows_of(evidence.example, batch, chosen), rows_of(evidence.target, batch, chosen)


def _choices(evidence: Evidence) -> Iterator[tuple[str, Optimizer]]:
    """The optimizer that was given, where it holds the model, then Adam at usual rates."""
    mine = {id(p) for p in evidence.trainable.values()}
    if evidence.optimizer is not None or evidence.train_step is not None:
        try:
            for optimizer in optimizers(evidence):
                if any(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
                    yield f"{type(optimizer).__name__} as given", optimizer
                    break
        except NotMeasured:
            pass
    for rate in RATES:
        yield f"Adam(lr={rate:g})", Adam(evidence.trainable.values(), lr=rate)


def _goal(start: float, base: float | None) -> float:
    """The loss to reach: half of guessing, or hardly less than at the start where its lowest value is not known."""
    if base is None:
        return start - ANY_FALL.warning * abs(start)
    return (1 - FALL.warning) * min(start, base)


def _guess(evidence: Evidence, target: Any) -> float | None:
    """The entropy of one class label a sample in a cross-entropy without weights or smoothing; None for others."""
    sites = [s for s in evidence.tape.sites if ops.of(s).compares == "classes"]
    plain = all(not s.kwargs.get("label_smoothing") and ops.argument(s, "weight") is None for s in sites)
    if len(sites) != 1 or not plain or not isinstance(target, Tensor) or target.dtype != torch.int64:
        return None
    if target.dim() > 1:  # random labels of many pixels are more than a small network can hold
        return None
    labels = target[target >= 0]
    share = torch.unique(labels, return_counts=True)[1].double() / max(labels.numel(), 1)
    entropy = float(-(share * share.log()).sum())
    return entropy if entropy > 0 else log(2)
