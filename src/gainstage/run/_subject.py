"""A model together with what it takes to run it once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

Loss = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Subject:
    """What a factory may return: the model and everything one training step needs.

    Args:
        model: any `nn.Module`.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar.
        optimizer: an optimizer over the model's parameters.
        train_step: performs one real training step on this model and returns its loss.
    """

    model: nn.Module
    example: Any = None
    target: Any = None
    loss: Loss | None = None
    optimizer: Optimizer | None = None
    train_step: Callable[[], Tensor | float] | None = None
