"""Accelerate: a watch of what `accelerator.prepare` has returned."""

from typing import Any

from torch import nn

from gainstage.errors import GainstageError
from gainstage.watch import Watch


def watch(accelerator: Any, model: nn.Module, *, every: int = 50, **kwargs: Any) -> Watch:
    """Watch a prepared model; several processes agree on each report, and sinks are those of the main one.

    Args:
        accelerator: that prepared it.
        model: as `accelerator.prepare` returned it.
        every: steps between reports.
        kwargs: further arguments of `gs.Watch`.

    Raises:
        GainstageError: the model was not prepared by this accelerator.
    """
    if not any(model is prepared for prepared in accelerator._models):
        raise GainstageError("expected the model that accelerator.prepare(...) returned, got another")
    if not accelerator.is_main_process:
        kwargs.pop("sinks", None)
    return Watch(model, every=every, **kwargs)
