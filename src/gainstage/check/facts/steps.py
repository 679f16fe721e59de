"""What the optimizer and the training step do, once a check."""

from functools import partial
from math import isfinite, nan
from typing import Any

import torch
from torch.optim import Optimizer

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.optimizer_step import OptimizerStep, optimizer_step
from gainstage.check.experiments.own_step import OwnStep, own_step
from gainstage.run import call, objective

GAINED = {30.0: 0.25, 1000.0: 0.05}  # part of the loss that steps at so many times the rate take away


@fact
def own(evidence: Evidence) -> OwnStep:
    """What some calls of `train_step` did."""
    return _calls(evidence)


@fact
def slower(evidence: Evidence) -> OwnStep:
    """The same at a tenth of every learning rate; as many calls again, asked for where something is wrong."""
    return _calls(evidence, factor=0.1)


@fact
def faster(evidence: Evidence) -> tuple[float, OwnStep]:
    """The same at thirty times every learning rate, or a thousand times where that brings little: which.

    Raises:
        NotMeasured: neither brings much.
    """
    before = _finite_loss(evidence)
    for factor, gained in GAINED.items():
        step = _calls(evidence, factor=factor)
        if not step.error and step.after < before - gained * abs(before):
            return factor, step
    raise NotMeasured("steps at 1,000 times the rate bring nothing either")


def _calls(evidence: Evidence, **how: Any) -> OwnStep:
    if evidence.train_step is None:
        raise NotMeasured("no train_step was given")
    evidence.measured()
    given = evidence.model, evidence.train_step, evidence.optimizer, evidence.seed
    return own_step(*given, calls=evidence.steps, after=partial(_loss_now, evidence), **how)


@torch.no_grad()
def _loss_now(evidence: Evidence) -> float:
    """The loss on the example, as the observed pass has measured it; NaN where there is none."""
    if evidence.heard.loss is None:
        return nan
    torch.manual_seed(evidence.seed)
    with Quiet():
        return float(objective(call(evidence.model, evidence.example), evidence.target, evidence.loss)[0])


@fact
def completed(evidence: Evidence) -> OwnStep:
    """The same, where it did not raise."""
    step = own(evidence)
    if step.error:
        raise NotMeasured(f"train_step raised {step.error}")
    return step


@fact
def optimizers(evidence: Evidence) -> tuple[Optimizer, ...]:
    """The optimizers of this training: the given one, and those that made a step in `train_step`."""
    found: tuple[Optimizer, ...] = () if evidence.optimizer is None else (evidence.optimizer,)
    if evidence.train_step is not None:
        found += own(evidence).optimizers
    if not found:
        raise NotMeasured("no optimizer was given, and train_step used none of torch's")
    return tuple({id(optimizer): optimizer for optimizer in found}.values())


@fact
def held(evidence: Evidence) -> set[int]:
    """The identities of all tensors that the optimizers hold."""
    return {id(p) for optimizer in optimizers(evidence) for group in optimizer.param_groups for p in group["params"]}


def scheduled(optimizer: Optimizer) -> bool:
    """Whether a schedule holds a learning rate below its base or peak at present."""
    return any(
        float(group["lr"]) < max(float(group.get("initial_lr", 0)), float(group.get("max_lr", 0)))
        for group in optimizer.param_groups
    )


def stepping(evidence: Evidence, *, further: int = 0, patience: float = 0.0, factor: float = 1.0) -> OptimizerStep:
    """The step that the optimizer would make on the example, as often and as long as asked.

    The gradient is shortened as `train_step` shortens it, where it clips.
    """
    if evidence.optimizer is None and evidence.train_step is None:
        raise NotMeasured("no optimizer was given")
    before = _finite_loss(evidence)
    mine = {id(p) for p in evidence.trainable.values()}
    found = [o for o in optimizers(evidence) if any(id(p) in mine for g in o.param_groups for p in g["params"])]
    if len(found) != 1:
        raise NotMeasured("no optimizer holds parameters of this model" if not found else "several optimizers step")
    if all(float(group["lr"]) == 0 for group in found[0].param_groups) and scheduled(found[0]):
        raise NotMeasured("the learning rate is 0 at present, by a schedule")
    gradients = evidence.gradients
    if evidence.train_step is not None:
        first = own(evidence).calls[0]
        if 0 < first.used < 0.99 * first.arrived:
            gradients = {name: g * (first.used / first.arrived) for name, g in gradients.items()}
    try:
        return optimizer_step(
            evidence.model,
            evidence.example,
            found[0],
            gradients,
            before,
            target=evidence.target,
            loss=evidence.loss,
            seed=evidence.seed,
            further=further,
            patience=patience,
            factor=factor,
        )
    except RuntimeError as error:
        raise NotMeasured(f"the optimizer's step was not possible: {type(error).__name__}: {error}") from error


@fact
def virtual(evidence: Evidence) -> OptimizerStep:
    """One step of the optimizer on the example."""
    return stepping(evidence)


def asked(evidence: Evidence) -> None:
    """Raise `NotMeasured` where no training was asked for or there is nothing to train on."""
    if not evidence.train:
        raise NotMeasured("it trains the model for some seconds: pass train=True (--train)")
    _finite_loss(evidence)


def _finite_loss(evidence: Evidence) -> float:
    """The loss of the observed pass; raise `NotMeasured` where there is nothing to train on."""
    evidence.backward_measured()
    loss = evidence.loss_measured()
    if not isfinite(loss):
        raise NotMeasured("the loss is not finite")
    return loss


def lasting(evidence: Evidence) -> float:
    """How much longer steps become in a row, by momentum that has not been built up yet."""
    factors = [1.0]
    for optimizer in optimizers(evidence):
        if not optimizer.state:
            factors += [1 / (1 - group["momentum"]) for group in optimizer.param_groups if 0 < _momentum(group) < 1]
    return max(factors)


def _momentum(group: dict[str, Any]) -> float:
    return group["momentum"] if isinstance(group.get("momentum"), float) else 0.0
