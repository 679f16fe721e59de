"""The model two virtual training steps later: what starts small on purpose has grown by then."""

from typing import Any

import torch

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import later
from gainstage.run import real


@fact
def ratio_later(evidence: Evidence) -> float:
    """The largest share of an output's mean square that then varies between samples; 0 if no output has samples.

    Of a model without values nothing is known of later.
    """
    if not evidence.has_numbers:
        return 0.0
    ratios = [0.0]
    for y in _later(evidence)[0]:
        if y.dim() > 1 and y.shape[0] == evidence.tape.batch and bool(y.isfinite().all()):
            rows = y.double()
            ratios.append(float((rows - rows.mean(0)).square().mean() / rows.square().mean().clamp(min=1e-300)))
    return max(ratios)


def gradient_norm_later(evidence: Evidence, name: str) -> float:
    """The norm of a parameter's gradient then; 0 where it has none."""
    gradient = _later(evidence)[1].get(name)
    return 0.0 if gradient is None else float(torch.linalg.vector_norm(real(gradient.to_dense())))


@fact
def _later(evidence: Evidence) -> Any:
    given: dict[str, Any] = {"target": evidence.target, "loss": evidence.loss, "seed": evidence.seed}
    return later(evidence.model, evidence.example, evidence.gradients, **given)
