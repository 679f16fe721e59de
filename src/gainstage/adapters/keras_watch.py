"""A Keras callback that watches `fit` on the torch backend."""

from typing import Any

from keras.callbacks import Callback

from gainstage.adapters.keras import parts
from gainstage.watch import Watch


class WatchCallback(Callback):  # type: ignore[misc]
    """Watches gradients, weights and steps of a Keras model; the sites inside its layers are Keras' own.

    Args:
        every: steps between reports.
        kwargs: further arguments of `gs.Watch`.
    """

    def __init__(self, every: int = 50, **kwargs: Any) -> None:
        super().__init__()
        self.every, self.kwargs = every, kwargs
        self.watch: Watch | None = None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """The first batch of a training: the optimizer is built by now, or will be in it."""
        if self.watch is not None:
            return
        module, optimizer = parts(self.model)
        watch = self.watch = Watch(module, optimizer, every=self.every, **self.kwargs)
        apply = self._optimizer = self.model.optimizer.apply

        def observed(*args: Any, **kwargs: Any) -> Any:
            watch.before_step(optimizer, (), {})
            result = apply(*args, **kwargs)
            watch.after_step(optimizer)
            return result

        self.model.optimizer.apply = observed

    def on_test_end(self, logs: Any = None) -> None:
        """The validation loss is one that the rules read."""
        if self.watch is not None and logs and "loss" in logs:
            self.watch.log(validation=float(logs["loss"]))

    def on_train_end(self, logs: Any = None) -> None:
        """Its hooks are gone; `watch.report` stays."""
        if self.watch is not None:
            del self.model.optimizer.apply
            self.watch.close()
