"""A training loop that hides nothing: one step a batch, and what became of the loss."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage._progress import bar
from gainstage.train._errors import TrainError
from gainstage.train._evaluate import mode
from gainstage.train._schedule import Schedule

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Step:
    """What a callback is told after each step: its number from 0, the loss, and the gradient's norm if it was taken."""

    number: int
    loss: float
    grad_norm: float | None


@dataclass(frozen=True)
class Epoch:
    """What a callback is told after each epoch.

    Attributes:
        number: from 0.
        loss: mean training loss over its steps, each before its update.
        metrics: what `validate` returned, and the training loss as `"loss"` unless `validate` gives one.
    """

    number: int
    loss: float
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Fit:
    """What became of a training run.

    Attributes:
        losses: the loss of every step, each before that step's update.
        diverged: the last loss or gradient was not finite; the parameters are those that gave it, not updated again.
        epochs: of every epoch that was finished.
        stopped: why a callback ended the run, a sentence; None where it ran to its end.
    """

    losses: tuple[float, ...]
    diverged: bool
    epochs: tuple[Epoch, ...] = ()
    stopped: str | None = None

    @property
    def steps(self) -> int:
        """Number of updates that were made."""
        return len(self.losses) - self.diverged


def fit(
    model: nn.Module,
    batches: Iterable[tuple[Any, Any]],
    *,
    loss: Loss,
    optimizer: Optimizer,
    epochs: int = 1,
    start: int = 0,
    steps: int | None = None,
    schedule: Schedule | None = None,
    clip: float | None = None,
    validate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    on_step: Sequence[Callable[[Step], object]] = (),
    on_epoch: Sequence[Callable[[Epoch], object]] = (),
    progress: str | None = None,
) -> Fit:
    """Train `model` in place for some epochs, each of `steps` batches.

    $$ \\theta \\leftarrow \\theta - \\text{optimizer}(\\nabla_\\theta\\, \\ell(f_\\theta(x), y)) $$

    Each step reads the loss once, which on a GPU waits for the device. A loss, or with `clip` a gradient, that is not
    finite stops the run before it reaches the parameters. The model trains in training mode and gets its flags back.

    Args:
        model: the module; called with a tensor, or with a tuple as positional or a dict as keyword inputs.
        batches: pairs `(x, y)`, for instance a `DataLoader`, which starts anew every epoch, or `minibatches`, which
            goes on.
        loss: `loss(output, y)` returns a scalar.
        optimizer: any optimizer over the model's parameters.
        epochs: how many times to go through `batches`, or through `steps` of them.
        start: the epoch to begin with, where a run is resumed from a checkpoint; the schedule goes on from there.
        steps: how many batches an epoch; all there are by default.
        schedule: factor on every learning rate at step 0, 1, ... of the whole run; see `warmup`. The rates are put back
            after every epoch.
        clip: largest norm of the whole gradient.
        validate: `validate(model)` returns numbers by name, `{"val_loss": 0.3}`; called after every epoch in evaluation
            mode and without gradients.
        on_step: functions that are told about every step.
        on_epoch: functions that are told about every epoch, for instance an `EarlyStopping`. One of either kind that
            returns True ends the run; an exception it raises ends the run and passes through.
        progress: a title; shows a progress bar, if standard error is a terminal.

    Returns:
        The losses, the epochs, and whether and why the run ended early.

    Raises:
        TrainError: the batches of an epoch end before `steps`, or the loss is not a scalar with a gradient.

    Example:
        >>> import torch
        >>> model, x, y = nn.Linear(2, 1), torch.randn(8, 2), torch.randn(8, 1)
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> run = fit(model, [(x, y)], loss=nn.functional.mse_loss, optimizer=sgd, epochs=5)
        >>> run.steps, run.losses[-1] < run.losses[0]
        (5, True)
    """
    base = [float(group["lr"]) for group in optimizer.param_groups]
    before = _steps_before(start, batches, steps, schedule)
    losses: list[float] = []
    told: list[Epoch] = []
    try:
        with mode(model, training=True), bar(progress, _total(batches, steps, epochs - start)) as advance:
            for number in range(start, epochs):
                begin = len(losses)
                for x, y in islice(batches, steps):
                    if schedule is not None:
                        _scale_rates(optimizer, base, schedule(before + len(losses)))
                    optimizer.zero_grad(set_to_none=True)
                    value = _checked(loss(call(model, x), y))
                    losses.append(float(value.detach()))
                    if not math.isfinite(losses[-1]):
                        return Fit(tuple(losses), diverged=True, epochs=tuple(told))
                    value.backward()  # type: ignore[no-untyped-call]
                    norm = None if clip is None else float(nn.utils.clip_grad_norm_(_parameters(optimizer), clip))
                    if norm is not None and not math.isfinite(norm):
                        return Fit(tuple(losses), diverged=True, epochs=tuple(told))
                    optimizer.step()
                    advance()
                    if why := _asked_to_stop(on_step, Step(before + len(losses) - 1, losses[-1], norm)):
                        return Fit(tuple(losses), diverged=False, epochs=tuple(told), stopped=why)
                made = losses[begin:]
                _check_length(made, steps, number, first=number == start)
                _scale_rates(optimizer, base, 1.0)  # callbacks store the rates as they were given
                told.append(_finished(model, number, made, validate))
                if why := _asked_to_stop(on_epoch, told[-1]):
                    return Fit(tuple(losses), diverged=False, epochs=tuple(told), stopped=why)
    finally:
        _scale_rates(optimizer, base, 1.0)
    return Fit(tuple(losses), diverged=False, epochs=tuple(told))


def call(model: nn.Module, x: Any) -> Any:
    """The model's output for a tensor, a tuple of positional or a dict of keyword inputs."""
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def _checked(value: Any) -> Tensor:
    if not isinstance(value, Tensor) or value.numel() != 1:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TrainError(f"the loss returned {shape}, expected one number. Take its mean: loss(output, y).mean()")
    if not value.requires_grad:
        raise TrainError("the loss has no gradient: no parameter that is trained takes part in it")
    return value.reshape(())


def _parameters(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _scale_rates(optimizer: Optimizer, base: list[float], factor: float) -> None:
    for group, rate in zip(optimizer.param_groups, base, strict=True):
        if isinstance(group["lr"], Tensor):  # a captured or fused optimizer holds its rate in a tensor
            group["lr"].fill_(rate * factor)
        else:
            group["lr"] = rate * factor


def _finished(model: nn.Module, number: int, losses: list[float], validate: Any) -> Epoch:
    mean = sum(losses) / len(losses) if losses else math.nan
    metrics: dict[str, float] = {"loss": mean}
    if validate is not None:
        with mode(model, training=False), torch.no_grad():
            metrics |= {name: float(value) for name, value in validate(model).items()}
    return Epoch(number, mean, metrics)


def _asked_to_stop(callbacks: Sequence[Callable[[Any], object]], event: Any) -> str | None:
    """Tell every callback; the reason of the first that wants to stop."""
    asked = [callback for callback in callbacks if callback(event) is True]
    if not asked:
        return None
    return (
        getattr(asked[0], "reason", None)
        or f"a callback asked for it after {type(event).__name__.lower()} {event.number}"
    )


def _steps_before(start: int, batches: Any, steps: int | None, schedule: Schedule | None) -> int:
    done = _total(batches, steps, start)
    if done is None and start and schedule is not None:
        raise TrainError(
            f"where the schedule is after {start} epochs depends on their length: give steps=, for one epoch"
        )
    return done or 0


def _check_length(made: list[float], steps: int | None, epoch: int, *, first: bool) -> None:
    if steps is not None and len(made) < steps:
        raise TrainError(
            f"the batches ended after {len(made)} of {steps} steps. Give more, for instance "
            f"minibatches(x, y, batch_size=64, steps={steps}), or leave steps out."
        )
    if not made and not first:
        raise TrainError(
            f"the batches ended before epoch {epoch}: an iterator goes through them once. Give a list or a DataLoader, "
            "or minibatches(...) for all epochs together and steps= for one."
        )


def _total(batches: Any, steps: int | None, epochs: int) -> int | None:
    each = len(batches) if steps is None and hasattr(batches, "__len__") else steps
    return None if each is None else each * epochs
