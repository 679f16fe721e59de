"""The first probe: one observed pass, forward and backward."""

from typing import Any

from torch import nn

from gainstage.check.probes._quiet import Quiet
from gainstage.errors import ForwardError
from gainstage.signal import Pass, observe
from gainstage.signal._subject import Loss


def one_pass(model: nn.Module, example: Any, *, target: Any, loss: Loss | None, seed: int) -> Pass:
    """Observe one pass without dropout; only forward where no parameter is trainable.

    A model that cannot run without its dropout (a checkpointed segment whose recomputation must match) runs with it.
    """
    backward = any(p.requires_grad for p in model.parameters())
    quiet = Quiet()
    try:
        with quiet:
            return observe(model, example, target=target, loss=loss, backward=backward, seed=seed)
    except ForwardError:
        if not quiet.used:
            raise
    return observe(model, example, target=target, loss=loss, backward=backward, seed=seed)
