"""A bounded race: every candidate trains for a few steps on the batch, and is undone."""

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

import torch
from torch import nn

from gainstage.errors import GainstageError
from gainstage.plan._plan import Plan
from gainstage.run import Loss, call, gradients, named_parameters, objective, undisturbed

RATES = (1e-3, 3e-3, 1e-2)  # of Adam
_BETAS = (0.9, 0.999)
_CLEARLY = 0.2  # of what the first candidate gained: by so much another has to be better
_LAST = 5  # steps whose mean loss counts


class NoLoss(GainstageError):
    """There is nothing that a race could be about."""


def race(
    model: nn.Module, example: Any, target: Any, loss: Loss | None, plans: Mapping[str, Plan], steps: int
) -> tuple[str, str]:
    """The candidate that trains best, and its number; the first one where no other is clearly better.

    Each is drawn, and trained by Adam on this one batch at three rates; its best mean loss over the last five steps
    counts. That costs `3 * steps` passes forward and backward a candidate. Everything is as it was afterwards. One
    batch says how fast a start learns, and nothing of how well what it has learned holds elsewhere.
    """
    first, found = inf, {}
    for name, plan in plans.items():
        losses = [_trained(model, example, target, loss, plan, steps, rate) for rate in RATES]
        found[name] = min(sum(row[-_LAST:]) / len(row[-_LAST:]) for row in losses)
        first = losses[0][0] if first == inf else first
    given = next(iter(plans))
    best = min(found, key=lambda name: found[name])
    if not (isfinite(found[best]) and (not isfinite(found[given]) or _clearly(found[best], found[given], first))):
        best = given
    shown = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
    return best, f"loss after {steps} steps of Adam on the batch, at the best of three rates: {shown}"


def _clearly(best: float, given: float, first: float) -> bool:
    return given - best > _CLEARLY * abs(first - given)


def _trained(
    model: nn.Module, example: Any, target: Any, loss: Loss | None, plan: Plan, steps: int, rate: float
) -> list[float]:
    """The losses of a candidate at one rate; infinite from where it fails."""
    parameters = {name: p for name, p in named_parameters(model) if p.requires_grad}
    losses: list[float] = []
    with undisturbed(model, example, target) as quiet:
        quiet.before_write(*model.parameters())
        try:
            plan.apply(model)
            ends = list(parameters.values())
            first, second = ([torch.zeros_like(p) for p in ends] for _ in range(2))
            for step in range(1, steps + 1):
                value, surrogate = objective(call(model, example), target, loss)
                if surrogate:
                    raise NoLoss("race= needs a loss: give target= and loss=, or a model that returns its loss")
                losses.append(float(value.detach()))
                if not isfinite(losses[-1]):
                    return [inf]
                found = gradients(model, value)
                with torch.no_grad():
                    for (name, p), m, v in zip(parameters.items(), first, second, strict=True):
                        if (g := found.get(name)) is not None:
                            m.lerp_(g, 1 - _BETAS[0])
                            v.lerp_(g * g, 1 - _BETAS[1])
                            root = (v / (1 - _BETAS[1] ** step)).sqrt_().add_(1e-8)
                            p.sub_(rate / (1 - _BETAS[0] ** step) * m / root)
        except NoLoss:
            raise
        except (GainstageError, RuntimeError):
            return [inf]
    return losses
