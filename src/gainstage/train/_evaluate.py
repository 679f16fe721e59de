"""How often a classifier is right."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gainstage.train._errors import TrainError


def accuracy(model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int = 1024) -> float:
    """The fraction of samples whose largest output is their class.

    The model is run in evaluation mode without gradients; its training flags are as before afterwards.

    Args:
        model: returns scores `[n, classes, ...]`.
        x: samples, `[n, ...]`.
        y: classes, `[n, ...]`.
        batch_size: samples a forward pass.

    Returns:
        A number from 0 to 1. Non-finite scores count as wrong.

    Raises:
        TrainError: there are no samples, or `x` and `y` differ in length.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> accuracy(nn.Identity(), x, torch.tensor([0, 0]))
        0.5
    """
    if len(x) == 0 or len(x) != len(y):
        raise TrainError(f"x has {len(x)} samples and y has {len(y)}: expected as many, and at least one")
    right = torch.zeros((), dtype=torch.long, device=y.device)
    with mode(model, training=False), torch.no_grad():
        for some_x, some_y in zip(torch.split(x, batch_size), torch.split(y, batch_size), strict=True):
            scores = model(some_x)
            hit = (scores.argmax(1) == some_y) & scores.isfinite().all(1)
            right += hit.sum()
    return right.item() / y.numel()


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Every module in training or evaluation mode, and afterwards each as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, flag in before:
            module.training = flag
