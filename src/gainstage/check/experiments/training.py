"""A short training run on the example, timed and undone."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.optimizer_step import make_step
from gainstage.run import Loss, call, foreign, map_tensors, objective, undisturbed
from gainstage.signal import sample_axis


def train(
    model: nn.Module,
    example: Any,
    optimizer: Optimizer,
    *,
    target: Any,
    loss: Loss | None,
    steps: int,
    seconds: float,
    enough: float = float("-inf"),
    seed: int = 0,
    after: Callable[[], float] | None = None,
) -> tuple[list[float], float]:
    """Train in training mode on one batch, without dropout, and put everything back bit for bit.

    Args:
        steps, seconds: when to stop, whichever comes first.
        enough: a loss at which to stop.
        after: called on the trained model before it is put back.

    Returns:
        The losses, each before its step, and what `after` returned (NaN without it).
    """
    end = perf_counter() + seconds
    losses: list[float] = []
    found = float("nan")
    with undisturbed(model, optimizer, seed=seed), Quiet(), torch.enable_grad():
        model.train()

        def gradient() -> Tensor:
            torch.manual_seed(seed)
            optimizer.zero_grad(set_to_none=True)
            total, _ = objective(call(model, example), target, loss)
            foreign("the backward pass")(total.backward)()
            return total.detach()

        for _ in range(steps):
            losses.append(float(gradient()))
            if not losses[-1] > enough or perf_counter() > end:  # also for NaN
                break
            make_step(optimizer, gradient)
        if after is not None:
            found = after()
    return losses, found


def rows_of(value: Any, batch: int, chosen: Tensor) -> Any:
    """The chosen samples of an example or target; what has no axis of samples stays whole.

    An axis of k rows a sample, as of flattened sequences, keeps the rows of the chosen samples.
    """

    def pick(tensor: Tensor) -> Tensor:
        axis = sample_axis(tuple(tensor.shape), batch)
        if axis is None:
            return tensor
        each = tensor.shape[axis] // batch
        rows = (chosen[:, None] * each + torch.arange(each)).flatten()
        return tensor.index_select(axis, rows.to(tensor.device))

    return map_tensors(value, pick)
