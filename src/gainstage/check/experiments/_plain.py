"""What every probe with plain forward passes needs: the model undisturbed, in a mode, without noise or gradients."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.run import tensors_in, undisturbed


@contextmanager
def plain(model: nn.Module, *, seed: int, training: bool | None = None, dropout: bool = False) -> Iterator[None]:
    """Inside, the model runs without gradients, in training, evaluation or its own mode; afterwards all is as before.

    Args:
        training: the mode of every module; None leaves each as it is.
        dropout: leave dropout as that mode has it.
    """
    with undisturbed(model, seed=seed), nullcontext() if dropout else Quiet(), torch.no_grad():
        if training is not None:
            model.train(training)
        yield


def floats(output: Any) -> list[Tensor]:
    """Copies of the floating point tensors of an output."""
    return [y.detach().clone() for y in tensors_in(output) if y.is_floating_point()]
