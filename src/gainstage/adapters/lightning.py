"""Lightning: callbacks that watch what the Trainer fits and train at a transfer's rates; a module's subject."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lightning.pytorch import Callback
from torch import nn

from gainstage.run import Subject, capture
from gainstage.watch import Watch as _Watch

if TYPE_CHECKING:
    from gainstage.transfer import Scaled


class Watch(Callback):
    """Watches the module that is fitted; a validation loss under the name `monitor` is logged as `validation`.

    Args:
        every: steps between reports.
        monitor: name of the validation loss among the logged metrics.
        kwargs: further arguments of `gs.Watch`.

    Example:
        trainer = L.Trainer(callbacks=[Watch(every=50)])
    """

    def __init__(self, every: int = 50, monitor: str = "val_loss", **kwargs: Any) -> None:
        self.every, self.monitor, self.kwargs = every, monitor, kwargs
        self.watch: _Watch | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The module is where it will be trained."""
        self.watch = _Watch(pl_module, every=self.every, **self.kwargs)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """The validation loss is one that the rules read."""
        if self.watch is not None and self.monitor in trainer.callback_metrics:
            self.watch.log(validation=float(trainer.callback_metrics[self.monitor]))

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Its hooks are gone, also after an exception; `watch.report` stays."""
        if self.watch is not None:
            self.watch.close()


class Transferred(Callback):
    """Trains with the optimizer of a transfer, at the target's rates, in place of the one that the module configures.

    Args:
        move: what `gs.transfer` gave; the module is, or holds, a model of its target's size.
        schedule: `schedule(optimizer)` returns a scheduler of `torch.optim.lr_scheduler`, or what else a Lightning
            module may return beside an optimizer.
        options: `lr`, `weight_decay`, `eps` and others of `move.make_optimizer`, as they are at the base.

    Example:
        trainer = L.Trainer(callbacks=[Transferred(move, lr=3e-3, weight_decay=0.1)])
    """

    def __init__(self, move: "Scaled", schedule: Callable[[Any], Any] | None = None, **options: Any) -> None:
        self.move, self.schedule, self.options = move, schedule, options

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Before the Trainer asks the module for its optimizer."""

        def configured() -> Any:
            made = self.move.make_optimizer(pl_module, **self.options)
            return made if self.schedule is None else ([made], [self.schedule(made)])

        pl_module.configure_optimizers = configured

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """The module's own method is back."""
        pl_module.__dict__.pop("configure_optimizers", None)


def subject(trainer: Any, module: nn.Module, *fit: Any, **kwargs: Any) -> Subject:
    """What `trainer.fit(module, ...)` trains, seen up to its first step, before which it is stopped."""
    with capture() as seen:
        trainer.fit(module, *fit, **kwargs)
    return seen.subjects[0]
