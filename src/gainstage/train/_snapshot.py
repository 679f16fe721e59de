"""An ensemble from one training run: the minima that a cyclic learning rate visits."""

import copy
import math
from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from gainstage.train._combining import Average
from gainstage.train._ensemble import Ensemble
from gainstage.train._errors import TrainError
from gainstage.train._loop import Loss, Step, fit
from gainstage.train._schedule import Schedule


def cyclic_cosine(steps: int, cycles: int) -> Schedule:
    r"""A schedule that falls from 1 to nearly 0 along half a cosine, `cycles` times.

    $$ s(t) = \tfrac12 \left(1 + \cos \pi \frac{t \bmod L}{L}\right),
       \qquad L = \lceil \text{steps} / \text{cycles} \rceil $$

    Args:
        steps: length of the whole run.
        cycles: from 1 to `steps`.

    Returns:
        A function of the step's number.

    Raises:
        TrainError: `cycles` is not within 1 to `steps`.

    Example:
        >>> [round(cyclic_cosine(8, 2)(step), 2) for step in range(8)]
        [1.0, 0.85, 0.5, 0.15, 1.0, 0.85, 0.5, 0.15]
    """
    length = _length(steps, cycles)
    return lambda step: (1 + math.cos(math.pi * (step % length) / length)) / 2


def snapshots(
    model: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    loss: Loss,
    optimizer: Optimizer,
    steps: int,
    cycles: int,
    clip: float | None = None,
    average: Average = "probabilities",
) -> Ensemble:
    """Train `model` once with a cyclic learning rate and keep a copy at the end of every cycle.

    Args:
        model: trained in place.
        batches: at least `steps` pairs `(x, y)`.
        loss: `loss(output, y)` returns a scalar.
        optimizer: over the model's parameters; its learning rates are those at the start of a cycle.
        steps: length of the whole run.
        cycles: number of snapshots.
        clip: largest norm of the whole gradient.
        average: as for `Ensemble`.

    Returns:
        The ensemble of the copies.

    Raises:
        TrainError: `cycles` is not within 1 to `steps`, the batches end early, or the run diverged.

    Example:
        >>> import torch
        >>> from gainstage.train import minibatches
        >>> model, x, y = nn.Linear(2, 3), torch.randn(64, 2), torch.randint(0, 3, (64,))
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.5)
        >>> batches = minibatches(x, y, batch_size=16, steps=30)
        >>> len(snapshots(model, batches, loss=nn.functional.cross_entropy, optimizer=sgd, steps=30, cycles=3))
        3

    References:
        Huang, Li, Pleiss, Liu, Hopcroft & Weinberger, *Snapshot ensembles: train 1, get M for free*, ICLR 2017.
    """
    schedule, length = cyclic_cosine(steps, cycles), _length(steps, cycles)
    kept: list[nn.Module] = []

    def keep(step: Step) -> None:
        if (step.number + 1) % length == 0 or step.number + 1 == steps:
            kept.append(copy.deepcopy(model))

    run = fit(model, batches, loss=loss, optimizer=optimizer, steps=steps, schedule=schedule, clip=clip, on_step=[keep])
    if run.diverged:
        raise TrainError(f"the run diverged at step {run.steps} of {steps}: use a smaller learning rate, or clip")
    return Ensemble(kept, average=average)


def _length(steps: int, cycles: int) -> int:
    if not 1 <= cycles <= steps:
        raise TrainError(f"cycles is {cycles}, expected 1 to {steps}, the number of steps")
    return math.ceil(steps / cycles)
