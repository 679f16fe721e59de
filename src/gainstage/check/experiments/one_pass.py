"""The first probe: one observed pass, forward and backward."""

from typing import Any

from torch import Tensor, nn

from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.leaves import leaves_behind
from gainstage.check.experiments.listen import Ear, Heard
from gainstage.errors import ForwardError
from gainstage.run import Loss, map_tensors
from gainstage.signal import Pass, observe


def one_pass(model: nn.Module, example: Any, *, target: Any, loss: Loss | None, seed: int) -> tuple[Pass, Heard]:
    """Observe one pass without dropout, and what its loss was given; only forward where no parameter is trainable.

    A model that cannot run without its dropout (a checkpointed segment whose recomputation must match) runs with it.
    """
    quiet = Quiet()
    try:
        with quiet:
            return _observed(model, example, target, loss, seed)
    except ForwardError:
        if not quiet.used:
            raise
    return _observed(model, example, target, loss, seed)


def _observed(model: nn.Module, example: Any, target: Any, loss: Loss | None, seed: int) -> tuple[Pass, Heard]:
    backward = any(p.requires_grad for p in model.parameters())
    ear = Ear()
    with ear:
        followed = None if loss is None else ear.during(loss)
        observed = observe(model, example, target=target, loss=followed, backward=backward, seed=seed)
    value = None if observed.tape.surrogate else observed.tape.loss
    if loss is None or value is None:
        return observed, Heard(value, tuple(ear.calls) if value is not None else ())
    leaves, output = tuple(leaves_behind(ear.output)), map_tensors(ear.output, Tensor.detach)
    return observed, Heard(value, tuple(ear.calls), output, leaves)
