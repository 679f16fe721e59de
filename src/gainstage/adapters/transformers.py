"""Hugging Face's Trainer, and what is derived from it (TRL's SFTTrainer): watched by a callback, checked before."""

from typing import Any

from transformers import TrainerCallback

from gainstage.errors import GainstageError
from gainstage.run import Subject
from gainstage.watch import Watch


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
