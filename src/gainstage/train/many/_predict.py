"""What many models answer, in one pass."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.train._errors import TrainError
from gainstage.train.many._alone import outputs
from gainstage.train.many._errors import CannotStack
from gainstage.train.many._stack import Stack


def predict_many(
    models: Sequence[nn.Module], x: Any, *, batch_size: int = 1024, together: bool | None = None
) -> Tensor:
    """What every model answers to `x`, in evaluation mode and without gradients.

    Args:
        models: of one architecture, if they are to run as one.
        x: samples: a tensor, a tuple of positional or a dict of keyword inputs.
        batch_size: samples a pass.
        together: `True` runs all models as one program, `False` one after the other; by default as one where that is
            possible.

    Returns:
        `[models, n, ...]`.

    Raises:
        CannotStack: `together=True`, and the models cannot run as one.
        TrainError: there are no models.

    Example:
        >>> models = [nn.Linear(2, 3) for _ in range(4)]
        >>> predict_many(models, torch.zeros(5, 2)).shape
        torch.Size([4, 5, 3])
    """
    if not models:
        raise TrainError("there are no models: give at least one")
    if together is not False:
        try:
            return _as_one(models, x, batch_size)
        except CannotStack:
            if together:
                raise
    return torch.stack([outputs(model, x, batch_size=batch_size) for model in models])


def _as_one(models: Sequence[nn.Module], x: Any, batch_size: int) -> Tensor:
    stack = Stack(models)
    try:
        return stack.outputs(x, batch_size=batch_size)
    except Exception as error:
        raise CannotStack(
            f"torch.func.vmap cannot run this model for many members at once: {type(error).__name__}: "
            f"{str(error).splitlines()[0][:300]} Use together=False."
        ) from error
