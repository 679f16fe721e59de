"""What the loss compares with what: predictions of the model, targets, and what guessing would cost."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from math import log
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check._registry import NotMeasured
from gainstage.check.experiments.listen import Heard, LossCall
from gainstage.check.facts.weights import Weight
from gainstage.signal import Ref, Site, ops

if TYPE_CHECKING:
    from gainstage.check.evidence import Evidence


@dataclass(frozen=True)
class Comparison:
    """One loss call that compares what the model computes with what it does not.

    Attributes:
        call: values and function.
        site: the call on the tape.
        output: index of the site that is the prediction, views included.
    """

    call: LossCall
    site: Site
    output: int

    @property
    def kind(self) -> str:
        """`"classes"`, `"binary"` or `"numbers"`."""
        return _kind(self.call.op)

    @property
    def prediction(self) -> Tensor:
        """What the model says, in double precision."""
        return self.call.prediction.double()

    @property
    def target(self) -> Tensor:
        """What it should say, in double precision."""
        return self.call.target.double()

    @property
    def classes(self) -> int:
        """Number of classes between which the prediction chooses."""
        shape = self.call.prediction.shape
        return 2 if self.kind == "binary" else shape[1] if len(shape) > 1 else shape[0] if shape else 1

    @property
    def labels(self) -> Tensor | None:
        """The observed class labels of `"classes"`, ignored ones left out; None for probabilities as targets."""
        if self.kind != "classes" or self.call.target.is_floating_point():
            return None
        labels = self.call.target.flatten()
        return labels[(labels >= 0) & (labels != self.call.options.get("ignore_index", -100))]

    @cached_property
    def measured(self) -> float:
        """The loss of this call in the pass."""
        return self.call.again(self.call.prediction)

    @cached_property
    def guess(self) -> float:
        """The loss of a prediction that knows nothing: all classes alike; of numbers, the mean of the targets."""
        like = self.call.prediction.float()
        if self.kind == "numbers":
            return self.call.again(torch.full_like(like, float(self.target.mean())))
        value = {"nll_loss": -log(max(self.classes, 1)), "binary_cross_entropy": 0.5}.get(self.call.op, 0.0)
        return self.call.again(torch.full_like(like, value))

    @cached_property
    def entropy(self) -> float | None:
        """Entropy of the observed labels in nats: the loss of guessing with their frequencies; None without labels."""
        labels = self.labels
        if labels is None or not labels.numel():
            return None
        share = torch.unique(labels, return_counts=True)[1].double() / labels.numel()
        return float(-(share * share.log()).sum())


@fact
def comparisons(evidence: "Evidence") -> list[Comparison]:
    """The comparisons of the loss.

    Left out are calls whose target is itself computed with parameters (a teacher, a codebook), those whose prediction
    is not (a metric), and binary cross-entropies whose arguments are swapped. A distance may be written either way.

    Raises:
        NotMeasured: there is no loss, or it makes no comparison that is understood.
    """
    found = []
    for call, site, prediction, swapped in _understood(evidence):
        if swapped and _kind(call.op) == "numbers":
            call = replace(call, prediction=call.target, target=call.prediction)
        if not swapped or _kind(call.op) == "numbers":
            found.append(Comparison(call, site, prediction))
    if not found:
        raise NotMeasured("the loss compares no prediction with a target by a loss function of torch")
    return found


@fact
def swapped_comparisons(evidence: "Evidence") -> list[Comparison]:
    """Cross-entropies that were given the target first and the prediction second."""
    swapped = (found for found in _understood(evidence) if found[3])
    return [Comparison(call, site, at) for call, site, at, _ in swapped if _kind(call.op) != "numbers"]


@fact
def _understood(evidence: "Evidence") -> list[tuple[LossCall, Site, int, bool]]:
    """Calls that compare one thing that depends on parameters with one that does not: with the first one's site."""
    heard = heard_loss(evidence)
    graph, found = evidence.graph, []
    for call in heard.calls:
        site = _site_of(evidence, call)
        if site is None or not _kind(call.op) or not call.prediction.numel() or not call.target.numel():
            continue
        refs = _refs(site, call.op)
        ours = [ref for ref in refs if ref.site not in graph.constant and graph.parameters_behind(ref)]
        if len(refs) != 2 or len(ours) != 1 or (_kind(call.op) == "classes" and call.prediction.dim() < 2):
            continue
        swapped = call.op != "difference" and ours[0] is not refs[0]
        said = call.target if swapped else call.prediction
        if said.is_floating_point() and graph.shapes[ours[0].site] == tuple(said.shape):
            found.append((call, site, ours[0].site, swapped))
    return found


def _kind(op: str) -> str:
    """What a loss compares; a difference by hand compares numbers."""
    return "numbers" if op == "difference" else ops.named(op).compares


def heard_loss(evidence: "Evidence") -> Heard:
    """What the loss of the observed pass was given, if there is one."""
    evidence.measured()
    evidence.loss_measured()
    return evidence.heard


def _site_of(evidence: "Evidence", call: LossCall) -> Site | None:
    """The call on the tape: the same operation, after as many others of it."""
    if call.op == "difference":
        same = [s for s in evidence.tape.sites if s.op == "sub" and s.path == "(loss)" and _ours(evidence, s)]
    else:
        same = [s for s in evidence.tape.sites if s.op == call.op and not s.is_leaf]
    return same[call.number] if call.number < len(same) else None


def _ours(evidence: "Evidence", site: Site) -> bool:
    """Whether a difference reads something that the model computed."""
    graph = evidence.graph
    return any(graph.depends(ref.site, out) for ref in site.inputs for out in graph.outputs)


def _refs(site: Site, op: str) -> list[Ref]:
    """What a call compares, as far as these are tensors."""
    if op == "difference":
        return list(site.inputs)
    return [ref for ref in (ops.argument(site, "input"), ops.argument(site, "target")) if isinstance(ref, Ref)]


def only(evidence: "Evidence", comparison: Comparison) -> bool:
    """Whether this comparison is the whole loss, so that gradients are its gradients."""
    total, own = evidence.tape.loss, comparison.measured
    return total is not None and math.isclose(total, own, rel_tol=1e-3, abs_tol=1e-12)


@fact
def plain_steps(evidence: "Evidence") -> list[tuple[float, Weight]]:
    """Learning rate times gradient over weight (norms) for every weight under plain SGD; empty without it."""
    optimizer = evidence.optimizer
    if not isinstance(optimizer, torch.optim.SGD):
        return []
    rates = {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}
    moved = [w for w in evidence.weights if w.norm > 0]
    return [(rates.get(id(evidence.parameters[w.name]), 0.0) * w.gradient_norm / w.norm, w) for w in moved]


def plain_step(evidence: "Evidence") -> tuple[float, str]:
    """The largest relative step of plain SGD, and of which weight; NaN without plain SGD."""
    steps = plain_steps(evidence)
    if not steps:
        return float("nan"), ""
    ratio, weight = max(steps, key=lambda step: step[0])
    return ratio, weight.name
