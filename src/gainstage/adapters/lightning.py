"""Lightning: a callback that watches what the Trainer fits, and the subject of a module before it is fitted."""

from typing import Any

from lightning.pytorch import Callback
from torch import nn

from gainstage.run import Subject, capture
from gainstage.watch import Watch as _Watch


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


def subject(trainer: Any, module: nn.Module, *fit: Any, **kwargs: Any) -> Subject:
    """What `trainer.fit(module, ...)` trains, seen up to its first step, before which it is stopped."""
    with capture() as seen:
        trainer.fit(module, *fit, **kwargs)
    return seen.subjects[0]
