"""What the loss alone says, asked about outputs that no model made: once a check."""

from typing import Any

from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.free_output import FreeOutput, free_outputs
from gainstage.check.experiments.tail import Floors, floors, tail_of
from gainstage.check.facts.losses import heard_loss
from gainstage.run import Loss, tensors_in

SAMPLES = 8  # fewer say too little


@fact
def free(evidence: Evidence) -> list[FreeOutput]:
    """What the loss says of every tensor of the output that has one row a sample.

    Raises:
        NotMeasured: no loss was given, there are few samples, or the loss reads none of these tensors.
    """
    output, loss, batch = given(evidence)
    try:
        found = free_outputs(evidence.model, output, evidence.target, loss, batch=batch, seed=evidence.seed)
    except (RuntimeError, ValueError, TypeError) as error:
        raise NotMeasured(f"the loss cannot be asked alone: {type(error).__name__}: {error}") from error
    if not found:
        raise NotMeasured("the output holds no real numbers with one row a sample")
    return found


def given(evidence: Evidence) -> tuple[Any, Loss, int]:
    """The output of the pass, the loss and the number of samples."""
    heard = heard_loss(evidence)
    batch = evidence.tape.batch
    if evidence.loss is None or heard.output is None:
        raise NotMeasured("the loss is the model's own and cannot be asked alone")
    if batch is None or batch < SAMPLES:
        raise NotMeasured(f"the example holds fewer than {SAMPLES} samples")
    return heard.output, evidence.loss, batch


def targets_vary(evidence: Evidence) -> bool:
    """Whether any two samples have different targets."""
    rows = [t for t in tensors_in(evidence.target) if t.dim() and t.shape[0] == evidence.tape.batch]
    return any(bool((t != t[:1]).any()) for t in rows)


def labels(evidence: Evidence, y: Tensor) -> tuple[Tensor, int] | None:
    """Integer targets that name an entry of the output along an axis, and that axis; None where there are none."""
    target = evidence.target
    if not isinstance(target, Tensor) or target.is_floating_point() or target.dtype.is_complex or not target.numel():
        return None
    for axis in (1, y.dim() - 1):
        if y.dim() < 2 or y.shape[:axis] + y.shape[axis + 1 :] != target.shape:
            continue
        if y.shape[axis] > 1 and int(target.min()) >= 0 and int(target.max()) < y.shape[axis]:
            return target.long(), axis
    return None


@fact
def floor(evidence: Evidence) -> Floors | None:
    """How low the loss can get, whatever is learned; None where nothing behind the last weights limits the outputs.

    Raises:
        NotMeasured: that cannot be searched here.
    """
    output, loss, batch = given(evidence)
    tail = tail_of(evidence.graph)
    if tail is None:
        raise NotMeasured("what stands behind the last weights cannot be run on its own")
    if tail.shapes_numbers is None:
        return None
    found = floors(evidence.model, tail, output, evidence.target, loss, batch=batch, seed=evidence.seed)
    if found is None:
        raise NotMeasured("the smallest loss behind the last weights was not found")
    return found
