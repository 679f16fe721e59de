"""A training loop that hides nothing: one step a batch, and what became of the loss."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.train._errors import TrainError
from gainstage.train._evaluate import mode

Loss = Callable[[Any, Any], Tensor]
Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Step:
    """What a callback is told after each step: its number from 0, the loss, and the gradient's norm if it was taken."""

    number: int
    loss: float
    grad_norm: float | None


@dataclass(frozen=True)
class Fit:
    """What became of a training run.

    Attributes:
        losses: the loss of every step, each before that step's update.
        diverged: the last loss or gradient was not finite; the parameters are those that gave it, not updated again.
    """

    losses: tuple[float, ...]
    diverged: bool

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
    steps: int | None = None,
    schedule: Schedule | None = None,
    clip: float | None = None,
    callback: Callable[[Step], None] | None = None,
    progress: str | None = None,
) -> Fit:
    """Train `model` in place for `steps` batches.

    $$ \\theta \\leftarrow \\theta - \\text{optimizer}(\\nabla_\\theta\\, \\ell(f_\\theta(x), y)) $$

    Each step reads the loss once, which on a GPU waits for the device. A loss, or with `clip` a gradient, that is not
    finite stops the run before it reaches the parameters. The model trains in training mode and gets its flags back.

    Args:
        model: the module; called with a tensor, or with a tuple as positional or a dict as keyword inputs.
        batches: pairs `(x, y)`, for instance from `minibatches`.
        loss: `loss(output, y)` returns a scalar.
        optimizer: any optimizer over the model's parameters.
        steps: how many batches; all there are by default.
        schedule: factor on every learning rate at step 0, 1, ...; see `warmup`. The rates are put back at the end.
        clip: largest norm of the whole gradient.
        callback: told about every step. An exception it raises ends the run and passes through.
        progress: a title; shows a progress bar, if standard error is a terminal.

    Returns:
        The losses, and whether the run diverged.

    Raises:
        TrainError: the batches end before `steps`, or the loss is not a scalar with a gradient.

    Example:
        >>> import torch
        >>> model, x, y = nn.Linear(2, 1), torch.randn(8, 2), torch.randn(8, 1)
        >>> sgd = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> run = fit(model, [(x, y)] * 5, loss=nn.functional.mse_loss, optimizer=sgd)
        >>> run.steps, run.losses[-1] < run.losses[0]
        (5, True)
    """
    base = [float(group["lr"]) for group in optimizer.param_groups]
    losses: list[float] = []
    try:
        with mode(model, training=True):
            for number, (x, y) in enumerate(_shown(islice(batches, steps), steps, progress)):
                if schedule is not None:
                    _scale_rates(optimizer, base, schedule(number))
                optimizer.zero_grad(set_to_none=True)
                value = _checked(loss(_call(model, x), y))
                losses.append(float(value.detach()))
                if not math.isfinite(losses[-1]):
                    return Fit(tuple(losses), diverged=True)
                value.backward()  # type: ignore[no-untyped-call]
                norm = None if clip is None else float(nn.utils.clip_grad_norm_(_parameters(optimizer), clip))
                if norm is not None and not math.isfinite(norm):
                    return Fit(tuple(losses), diverged=True)
                optimizer.step()
                if callback is not None:
                    callback(Step(number, losses[-1], norm))
    finally:
        _scale_rates(optimizer, base, 1.0)
    if steps is not None and len(losses) < steps:
        raise TrainError(
            f"the batches ended after {len(losses)} of {steps} steps. Give more, for instance "
            f"minibatches(x, y, batch_size=64, steps={steps}), or leave steps out."
        )
    return Fit(tuple(losses), diverged=False)


def warmup(steps: int, *, total: int | None = None) -> Schedule:
    r"""A schedule that rises linearly over `steps`, then stays, or falls to 0 at `total` along half a cosine.

    $$ s(t) = \min\!\left(1, \tfrac{t + 1}{\text{steps}}\right) \cdot
       \tfrac12 \left(1 + \cos \pi \tfrac{t - \text{steps}}{\text{total} - \text{steps}}\right)_{t > \text{steps}} $$

    Args:
        steps: length of the rise; 0 for none.
        total: the step at which the rate would be 0; never by default.

    Returns:
        A function of the step's number.

    Raises:
        TrainError: `total` is not after the warm-up.

    Example:
        >>> [round(warmup(2, total=6)(step), 2) for step in range(7)]
        [0.5, 1.0, 1.0, 0.85, 0.5, 0.15, 0.0]
    """
    if total is not None and total <= steps:
        raise TrainError(f"total is {total}, expected more than the {steps} steps of warm-up")

    def factor(step: int) -> float:
        if step < steps:
            return (step + 1) / steps
        if total is None:
            return 1.0
        return (1 + math.cos(math.pi * min(1.0, (step - steps) / (total - steps)))) / 2

    return factor


def _call(model: nn.Module, x: Any) -> Any:
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


def _shown(batches: Iterator[Any], steps: int | None, title: str | None) -> Iterator[Any]:
    if title is None:
        return batches
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import track

    console = Console(stderr=True)
    hidden = not console.is_terminal
    return iter(track(batches, escape(title), total=steps, console=console, transient=True, disable=hidden))
