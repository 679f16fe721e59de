"""Hugging Face's Trainer with the rates of a transfer."""

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from gainstage.transfer import Scaled


def optimizers(move: "Scaled", model: nn.Module, args: Any) -> tuple[Optimizer, None]:
    """What `Trainer(..., optimizers=)` takes: the optimizer of the training arguments, at the target's rates.

    The learning rate, weight decay, epsilon and betas of `args` are those of the base. Trainer makes its own schedule,
    which multiplies every group by the same factor.

    Args:
        move: what `gs.transfer` gave.
        model: of the target's size.
        args: `transformers.TrainingArguments`.

    Returns:
        The optimizer, and None for the schedule.

    Raises:
        GainstageError: another model.

    Example:
        >>> import torch, gainstage as gs
        >>> from types import SimpleNamespace
        >>> from gainstage.adapters.huggingface import optimizers
        >>> def make(width):
        ...     return torch.nn.Sequential(torch.nn.Linear(8, width), torch.nn.Linear(width, 2)), torch.randn(4, 8)
        >>> args = SimpleNamespace(
        ...     learning_rate=1e-3, weight_decay=0.1, adam_epsilon=1e-8, adam_beta1=0.9, adam_beta2=0.95
        ... )
        >>> move = gs.transfer(make, 16, 64)
        >>> optimizer, schedule = optimizers(move, move.model(), args)
        >>> sorted({group["lr"] for group in optimizer.param_groups})
        [0.00025, 0.001]
    """
    given: dict[str, Any] = {"lr": args.learning_rate, "weight_decay": args.weight_decay}
    if move.optimizer != "sgd":
        given["eps"] = args.adam_epsilon
    if move.optimizer == "adam":
        given["betas"] = (args.adam_beta1, args.adam_beta2)
    return move.make_optimizer(model, **given), None
