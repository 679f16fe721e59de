"""The stored statistics of batch normalizations: how they came about, and what evaluation makes of them."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.statistics import Run, statistics
from gainstage.check.facts.losses import comparisons, only
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import named_modules

_SETTLED = 0.01  # share of their first values that running statistics still hold


GAP = Quantity(
    "loss in evaluation mode over that in training mode, without dropout",
    warning=Limit(2.0, "The loss doubles; it must besides lose the share below."),
)
GAP_SHARE = Limit(
    0.25,
    "A quarter of what the model has learned, its distance from guessing in training mode, is lost in evaluation.",
)
GAP_LEARNED = Limit(0.8, "Loss in training mode over that of guessing, from which on the model knows something.")


@dataclass(frozen=True)
class Gap:
    """What a trained model loses between training and evaluation mode: both losses, and that of guessing."""

    training: float
    evaluation: float
    guess: float

    @property
    def harmful(self) -> bool:
        """Whether the model knows something in training mode that it does not in evaluation."""
        lost = self.evaluation - self.training
        return lost > GAP_SHARE * (self.guess - self.training) and self.evaluation > GAP.warning * self.training


def layers(model: nn.Module) -> dict[str, _BatchNorm]:
    """Every batch normalization that stores statistics, by path."""
    found = {path: m for path, m in named_modules(model) if isinstance(m, _BatchNorm)}
    return {path: m for path, m in found.items() if m.running_mean is not None and m.running_var is not None}


def batches_seen(layer: _BatchNorm) -> int:
    """How many batches went into its statistics; 0 for statistics that are still at 0 and 1."""
    count = layer.num_batches_tracked
    return int(count) if count is not None else int(not untouched(layer))


def untouched(layer: _BatchNorm) -> bool:
    """Whether the stored mean is 0 and the stored variance 1 everywhere."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    return not bool(layer.running_mean.any()) and bool((layer.running_var == 1).all())


def settled(layer: _BatchNorm) -> bool:
    """Whether the batches have replaced what the statistics began with."""
    seen = batches_seen(layer)
    if layer.momentum is None:
        return seen > 0
    return float((1 - layer.momentum) ** seen) < _SETTLED


@fact
def in_training(evidence: Evidence) -> Run:
    """One pass in training mode."""
    return _run(evidence, training=True)


def _run(evidence: Evidence, *, training: bool) -> Run:
    given = {"target": evidence.target, "loss": evidence.loss, "seed": evidence.seed}
    try:
        return statistics(evidence.model, evidence.example, training=training, **given)
    except (RuntimeError, ValueError) as error:
        mode = "training" if training else "evaluation"
        raise NotMeasured(f"the model does not run in {mode} mode: {type(error).__name__}: {error}") from error


@fact
def gap(evidence: Evidence) -> Gap:
    """The losses of a trained model in both modes, without dropout: two forward passes.

    Raises:
        NotMeasured: no batch normalization has settled statistics, there is no loss, or the model has learned nothing.
    """
    found = layers(evidence.model)
    if not found:
        raise NotMeasured("no batch normalization stores statistics")
    if not any(batches_seen(layer) and settled(layer) for layer in found.values()):
        raise NotMeasured("the running statistics have seen too few batches: the model is not trained yet")
    compared = comparisons(evidence)
    if len(compared) != 1 or not only(evidence, compared[0]):
        raise NotMeasured("the loss is no single comparison, so what guessing would cost is not known")
    training, guess = in_training(evidence).loss, compared[0].guess
    if not training < GAP_LEARNED * guess:
        raise NotMeasured("in training mode the model does not do better than guessing on this batch")
    evaluation = _run(evidence, training=False).loss
    return Gap(training, evaluation, guess)


def broken(layer: _BatchNorm) -> bool:
    """Whether the stored statistics are no finite mean and positive variance."""
    assert layer.running_mean is not None
    assert layer.running_var is not None
    good = torch.isfinite(layer.running_mean).all() & torch.isfinite(layer.running_var).all()
    return not bool(good & (layer.running_var >= 0).all())
