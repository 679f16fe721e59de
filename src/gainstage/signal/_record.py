"""Record one pass of a model as a tape."""

import warnings
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.errors import ForwardError, GainstageError
from gainstage.run import (
    Loss,
    batch_size,
    call_on,
    describe,
    entry,
    has_data,
    objective_of,
    own_copy,
    undisturbed,
    valueless,
    with_shapes,
)
from gainstage.signal._recorder import Recorder, Visitor
from gainstage.signal._tape import Tape


@dataclass
class Pass:
    """What one observed pass leaves: the tape and the gradient of every parameter that got one."""

    tape: Tape
    gradients: dict[str, Tensor] = field(default_factory=dict)


def record(
    model: nn.Module, example: Any, *, target: Any = None, loss: Loss | None = None, backward: bool = True
) -> Tape:
    """Run `model` once, forward and backward, and return the tape. The model is left as it was.

    Sees every operation in execution order, wherever it is written: modules, functional calls, operators, in-place
    operations, `nn.Parameter` used directly, recurrent layers, attention, checkpointed segments (counted once).
    The cost is one forward and one backward pass, and about seven reads of every activation.

    Args:
        model: any module that runs; it is run in the mode (train or eval) that it is in.
        example: a tensor (one positional input), a tuple (positional inputs) or a dict (keyword inputs).
            The first axis that the inputs share is taken as the samples.
        target: what `loss` compares the output with.
        loss: `loss(output, target)` returns a scalar. Without it the output's own `.loss` (or key `loss`) is used;
            without either, `run.surrogate` makes gradients flow.
        backward: also record the gradient at every site.

    Returns:
        The tape. What has no values has no moments: of a model on the meta device all that parameters touch.

    Raises:
        ForwardError: the model or the loss raised; the message names the site, the cause is chained.
        GainstageError: the loss is no scalar, or nothing needs a gradient.

    Example:
        >>> import torch, gainstage as gs
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh())
        >>> [site.name for site in gs.record(model, torch.ones(2, 4))]
        ['0/linear#0', '1/tanh#0']
    """
    return observe(model, example, target=target, loss=loss, backward=backward).tape


@entry
def observe(
    model: nn.Module,
    example: Any,
    *,
    target: Any = None,
    loss: Loss | None = None,
    backward: bool = True,
    visit: Visitor | None = None,
    seed: int = 0,
) -> Pass:
    """`record`, with the parameters' gradients kept.

    Args:
        visit: called with every site that computes and its first output, before anything reads that output.
        seed: seeds dropout and other randomness of the pass.
    """
    if not isinstance(model, nn.Module):
        raise GainstageError(f"expected an nn.Module, got {type(model).__name__}; pass the model itself, not its class")
    model = with_shapes(model, example)
    backward = backward and all(has_data(p) for p in model.parameters())
    # Tensors made in inference mode may not be saved for a backward pass, nor be written to outside of that mode.
    for gradients in (True, False)[not backward :]:
        try:
            return _observe(model, example, target, loss, gradients, visit, seed)
        except ForwardError as error:
            if "nference" not in str(error):
                raise
    with torch.inference_mode():
        return _observe(model, example, target, loss, False, visit, seed)


def _observe(
    model: nn.Module,
    example: Any,
    target: Any,
    loss: Loss | None,
    backward: bool,
    visit: Visitor | None,
    seed: int,
) -> Pass:
    disturbs = undisturbed(model, example, target, loss, seed=seed)
    with valueless(model), disturbs as quiet, warnings.catch_warnings():
        if not backward:  # a reentrant checkpoint warns where gradients are off
            warnings.filterwarnings("ignore", module="torch.utils.checkpoint")
        given = own_copy(example)
        recorder = Recorder(model, batch_size(model, example, target), quiet.guard, visit)
        recorder.leaves(given)
        with recorder.modules.hooked(), torch.set_grad_enabled(backward):
            what = f"a forward pass on {describe(example)}"
            output = recorder.run("forward", what, lambda: call_on(model, given))
            recorder.compare(example)
            outputs = recorder.outputs(output)
            value, stand_in = None, False
            found: dict[str, Tensor] = {}
            if backward:
                recorder.phase = "loss"
                total, stand_in = recorder.run("loss", "the loss", lambda: objective_of(output, target, loss))
                del output
                value = total.detach()
                if not total.requires_grad:
                    raise GainstageError("the loss does not depend on any parameter that needs a gradient")
                found = recorder.backward(total)
        return Pass(recorder.tape(outputs, value, stand_in), found)
