"""How hard a penalty on the weights pulls, beside the gradient of the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from gainstage.check._fact import fact
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.decay import decays_alone
from gainstage.run import dense
from gainstage.signal import Ref, Site, observe, ops


@dataclass(frozen=True)
class Pull:
    """A penalty against the data, over the weights that both pull at.

    Attributes:
        where: the optimizer, or the site that adds the penalty to the loss.
        penalty: norm of the penalty's gradient.
        data: norm of the gradient of the rest of the loss.
        rate: norm of the penalty's gradient over that of the weights: the weight decay that it amounts to.
    """

    where: str
    penalty: float
    data: float
    rate: float

    @property
    def ratio(self) -> float:
        """Penalty over data."""
        return self.penalty / self.data if self.data > 0 else float("inf")


@fact
def of_optimizer(evidence: Evidence) -> Pull | None:
    """Weight decay as SGD and Adam add it to the gradient; None where it is 0."""
    optimizer = evidence.optimizer
    if optimizer is None:
        return None
    names = {id(p): name for name, p in evidence.trainable.items()}
    decay = weight = data = 0.0
    for group in optimizer.param_groups:
        rate = group.get("weight_decay", 0.0)
        if not isinstance(rate, float | int) or rate <= 0:
            continue
        for p in group["params"]:
            gradient = evidence.gradients.get(names.get(id(p), ""))
            if gradient is not None and p.dim() > 1:
                size = float(torch.linalg.vector_norm(dense(p.detach())))
                decay, weight = decay + (rate * size) ** 2, weight + size**2
                data += float(torch.linalg.vector_norm(gradient.to_dense())) ** 2
    return Pull(type(optimizer).__name__, sqrt(decay), sqrt(data), sqrt(decay / weight)) if decay > 0 else None


@fact
def decoupled(evidence: Evidence) -> bool:
    """Whether the optimizer multiplies weights by their decay, and rescales gradients without it."""
    if evidence.optimizer is None:
        return False
    return decays_alone(evidence.model, evidence.optimizer, evidence.gradients, seed=evidence.seed)


@fact
def of_loss(evidence: Evidence) -> Pull | None:
    """Terms of the loss that depend on weights and not on the data; one more observed pass, if there are any."""
    terms = {ref.site: site for site in evidence.tape.sites for ref in _terms(evidence, site)}
    used = {evidence.graph.parameter_of(call.weight) for call in evidence.graph.weights.values()}
    behind = {n for index in terms for n in evidence.graph.parameters_behind(Ref(index))}
    weights = {n: p for n, p in evidence.trainable.items() if n in behind & used and n in evidence.gradients}
    if not weights:
        return None
    pulls: dict[str, Tensor] = {}

    def visit(site: Site, x: Tensor) -> None:
        if site.index in terms and x.requires_grad:
            sign = -1.0 if ops.of(terms[site.index]).name == "sub" else 1.0
            found = torch.autograd.grad(sign * x, list(weights.values()), retain_graph=True, allow_unused=True)
            found = tuple(g if g is None else dense(g) for g in found)
            for name, gradient in zip(weights, found, strict=True):
                if gradient is not None:
                    pulls[name] = pulls[name] + gradient if name in pulls else gradient

    given = {"target": evidence.target, "loss": evidence.loss}
    observe(evidence.model, evidence.example, **given, visit=visit, seed=evidence.seed)
    rest = [evidence.gradients[name].to_dense() - pulls[name].to_dense() for name in pulls]
    norms = (_norm(list(pulls.values())), _norm(rest), _norm([evidence.values[name] for name in pulls]))
    place = next(iter(terms.values())).name
    return Pull(place, norms[0], norms[1], norms[0] / norms[2]) if norms[2] > 0 else None


def _terms(evidence: Evidence, site: Site) -> Iterator[Ref]:
    """What this site adds to a loss that depends on the data, if that depends on parameters only."""
    graph = evidence.graph
    if (
        site.op == "stack"
        and len(site.shape) == 1
        and [evidence.tape.sites[i].op for i in graph.consumers[site.index]] == ["sum"]
    ):
        constant = [ref for ref in site.inputs if ref.site in graph.constant]
        yield from (ref for ref in constant if len(constant) < len(site.inputs) and graph.parameters_behind(ref))
        return
    if ops.of(site).kind != "add" or site.shape not in ((), (1,)) or len(site.inputs) != 2:
        return
    constant = [ref for ref in site.inputs if ref.site in evidence.graph.constant]
    if len(constant) == 1 and evidence.tape.sites[constant[0].site].kind == "loss":
        yield from constant


def _norm(tensors: list[Tensor]) -> float:
    return sqrt(sum(float(torch.linalg.vector_norm(t)) ** 2 for t in tensors))
