"""The addends of the loss, once a check."""

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.addends import Addend, addends
from gainstage.check.facts.oracle import given


@fact
def terms(evidence: Evidence) -> list[Addend]:
    """The addends of the loss; at least two.

    Raises:
        NotMeasured: the loss is no sum, or cannot be asked alone.
    """
    output, loss, batch = given(evidence)
    held = {id(p) for group in evidence.optimizer.param_groups for p in group["params"]} if evidence.optimizer else None
    trained = [p for p in evidence.trainable.values() if held is None or id(p) in held]
    try:
        parts = evidence.model, evidence.example, evidence.target, loss, output, trained
        found = addends(*parts, batch=batch, seed=evidence.seed)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise NotMeasured(f"the addends of the loss cannot be told: {type(error).__name__}") from error
    if len(found) < 2:
        raise NotMeasured("the loss is no sum of terms")
    return found
