"""At which steps of a sequence of real numbers the gradient of the output arrives, once a check."""

import torch
from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import rerun
from gainstage.check.experiments.cut_positions import reaching
from gainstage.check.facts.modes import in_eval
from gainstage.check.quantity import Limit

STEPS = Limit(4, "Steps of a sequence; of fewer none is far back.")


@fact
def arrivals(evidence: Evidence) -> tuple[Tensor, Tensor, Tensor] | None:
    """The sequence, how far an exchange of all steps but the last moves the output, and the gradient's norm at each.

    None where a gradient arrives at the input of the observed pass, which says as much.

    Raises:
        NotMeasured: the example is no such sequence.
    """
    evidence.varied_outputs()
    x = evidence.example[0] if isinstance(evidence.example, tuple) and len(evidence.example) == 1 else evidence.example
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() != 3 or x.shape[0] != evidence.tape.batch:
        raise NotMeasured("the example is no sequence of real numbers")
    if x.shape[1] < STEPS or not evidence.trainable:
        raise NotMeasured("the sequence has fewer than four steps")
    if not any(site.kind == "input" and site.backward is None for site in evidence.tape.sites):
        return None
    found = reaching(evidence.model, x, seed=evidence.seed)
    if found is None:
        raise NotMeasured("no gradient arrives at the input")
    return (x, *found)


@fact
def only_step(evidence: Evidence) -> int | None:
    """The one step that the outputs depend on; None where there are more. One forward pass, if it looks like it."""
    found = arrivals(evidence)
    if found is None or int((found[2] > 0).sum()) != 1:
        return None
    x, step = found[0], int(found[2].argmax())
    other = x.roll(1, 0)
    other[:, step] = x[:, step]
    given = (other,) if isinstance(evidence.example, tuple) else other
    after = rerun(evidence.model, given, training=False, seed=evidence.seed)
    same = all(torch.equal(a, b) for a, b in zip(in_eval(evidence), after, strict=True))
    return step if same else None
