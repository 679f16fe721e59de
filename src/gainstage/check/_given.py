"""What people call `check` with: a subject or a trainer, a batch of NumPy arrays or a loader, a loss by its name."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from gainstage.errors import GainstageError
from gainstage.run import Loss, Subject, loss_of, map_tensors, subject_from


def given(model: Any, example: Any, target: Any, loss: Any, optimizer: Any, train_step: Any) -> Subject:
    """The same with tensors and functions: a subject unpacked, arrays turned to tensors, a loader's first batch.

    Raises:
        GainstageError: one sentence on what is wrong with the call.
    """
    if isinstance(model, Subject):
        return given(
            model.model,
            model.example if example is None else example,
            model.target if target is None else target,
            model.loss if loss is None else loss,
            model.optimizer if optimizer is None else optimizer,
            model.train_step if train_step is None else train_step,
        )
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise GainstageError(
            f"{model.__name__} is a class: give the model itself, check({model.__name__}(...), example)"
        )
    if not isinstance(model, nn.Module):
        if isinstance(example, nn.Module):
            raise GainstageError("the model comes first: check(model, example)")
        return given(subject_from(model), example, target, loss, optimizer, train_step)
    if example is None:
        raise GainstageError("no example was given: check(model, example), a batch that the model can be called with")
    if isinstance(example, DataLoader):
        example, target = _first(example, target)
    return Subject(model, tensors(example), tensors(target), _function(loss), optimizer, train_step)


def _first(loader: Any, target: Any) -> tuple[Any, Any]:
    """The first batch of a loader: inputs and target where it is a pair and no target was given."""
    batch = next(iter(loader))
    if target is None and isinstance(batch, list | tuple) and len(batch) == 2:
        return batch[0], batch[1]
    return (tuple(batch) if isinstance(batch, list) else batch), target


def tensors(value: Any) -> Any:
    """The same with a tensor in place of each array; numbers of double precision become those of torch's default."""

    def tensor(item: Any) -> Any:
        if not isinstance(item, np.ndarray):
            return item
        made = torch.from_numpy(np.ascontiguousarray(item))
        return made.to(torch.get_default_dtype()) if made.dtype == torch.float64 else made

    holds = isinstance(value, Mapping | list | tuple | np.ndarray)
    return map_tensors(value, lambda t: t, tensor) if holds else value


def _function(loss: Any) -> Loss | None:
    if not isinstance(loss, str):
        if isinstance(loss, type) and issubclass(loss, nn.Module):
            raise GainstageError(f"the loss {loss.__name__} is a class: give an instance, loss=nn.{loss.__name__}()")
        function: Loss | None = loss
        return function
    return loss_of(loss)
