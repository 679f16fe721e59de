"""Hugging Face's Trainer, and what is derived from it: checked before, watched by a callback, at a transfer's rates."""

from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback

from gainstage.errors import GainstageError
from gainstage.run import Subject
from gainstage.watch import Watch

if TYPE_CHECKING:
    from gainstage.transfer import Scaled


class WatchCallback(TrainerCallback):
    """Watches the model that the Trainer trains; evaluation losses are logged as `validation`.

    Args:
        every: steps between reports.
        kwargs: further arguments of `gs.Watch`: sinks, on_finding.

    Attributes:
        watch: from the beginning of the training on.

    Example:
        trainer = Trainer(..., callbacks=[WatchCallback(every=50)])
    """

    def __init__(self, every: int = 50, **kwargs: Any) -> None:
        self.every, self.kwargs = every, kwargs
        self.watch: Watch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """The model is where it will be trained."""
        self.watch = Watch(model, every=self.every, **self.kwargs)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        """The loss of an evaluation is one that the rules read."""
        if self.watch is not None and metrics and "eval_loss" in metrics:
            self.watch.log(validation=metrics["eval_loss"])

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Its hooks are gone; `watch.report` stays."""
        if self.watch is not None:
            self.watch.close()


def subject(trainer: Any) -> Subject:
    """What `gs.check` needs: the Trainer's model, its first batch, its optimizer where it has one, its loss.

    Raises:
        GainstageError: the Trainer has no data to train on.
    """
    if getattr(trainer, "train_dataset", None) is None:
        raise GainstageError("the Trainer has no train_dataset: its first batch is what is checked")
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    return Subject(trainer.model, dict(batch), optimizer=trainer.optimizer)


def optimizers(move: "Scaled", model: nn.Module, args: Any) -> tuple[Optimizer, None]:
    """What `Trainer(..., optimizers=)` takes: the optimizer of the training arguments, at the target's rates.

    The learning rate, weight decay, epsilon and betas of `args` are those of the base. As with Trainer's own optimizer,
    biases and scales do not decay. Trainer makes its own schedule, which multiplies every group by the same factor.

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
        >>> from gainstage.adapters.transformers import optimizers
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
    given["no_decay"] = [name for name, parameter in model.named_parameters() if parameter.dim() < 2]
    if move.optimizer != "sgd":
        given["eps"] = args.adam_epsilon
    if move.optimizer == "adam":
        given["betas"] = (args.adam_beta1, args.adam_beta2)
    return move.make_optimizer(model, **given), None
