"""What the model returns in evaluation mode, once a check."""

from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import rerun


@fact
def in_eval(evidence: Evidence) -> list[Tensor]:
    """The floating point outputs for the example in evaluation mode."""
    evidence.measured()
    return rerun(evidence.model, evidence.example, training=False, seed=evidence.seed)
