"""Rules about the loss at the start."""

from collections.abc import Iterator, Mapping
from math import isfinite, log

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found
from gainstage.check.thresholds import LOSS_BELOW, LOSS_EXCESS, LOSS_FACTOR
from gainstage.signal import Site

_BINARY = ("binary_cross_entropy", "binary_cross_entropy_with_logits")


@rule("OUT501", "initial-loss", "warning")
def initial(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Compares the cross-entropy of the first pass with that of guessing: $\ln C$ for $C$ classes, $\ln 2$ for a binary
    cross-entropy.

    ## Why is this bad?
    A network that knows nothing should say so. A loss above guessing means confident wrong outputs: the output head or
    the signal before it is too large, and the first steps are spent on shrinking it.

    ## Known problems
    Sums instead of means, class weights and losses that do not call `cross_entropy`, `nll_loss` or
    `binary_cross_entropy` are not judged. A loss far below guessing is a note: the model is trained already, or the
    labels leak.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.normal_(model[2].weight, std=3.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Karpathy, *A Recipe for Training Neural Networks*, 2019: "verify loss @ init".
    """
    evidence.measured()
    if evidence.tape.surrogate or evidence.tape.loss is None:
        raise NotMeasured("no loss was given: pass target= and loss=, or an example with labels")
    sites = [s for s in evidence.tape.sites if s.op in ("cross_entropy", "nll_loss", *_BINARY) and _averaged(s)]
    if not sites:
        raise NotMeasured("the loss calls no cross-entropy without class weights that averages over samples")
    for site in sites:
        logits = site.argument(0, "input").site
        shape, measured = evidence.graph.shapes[logits], site.forward.mean if site.forward else float("nan")
        if not isfinite(measured):
            continue
        classes = 2 if site.op in _BINARY else shape[1] if len(shape) > 1 else shape[0]
        guess = log(classes) if classes > 1 else 0.0
        entropy = guess if site.op in _BINARY else _entropy(evidence)
        heads = [w.name for w in evidence.weights if set(w.sites) & set(evidence.heads)]
        fix = evidence.fix("start the output head anew: gs.initialize(model, example)", heads)
        if guess and measured > LOSS_FACTOR * guess and measured > guess + LOSS_EXCESS:
            yield Found(
                "warning",
                site.name,
                measured=f"cross-entropy {measured:.3g}",
                expected=f"about {guess:.3g}, that of guessing among {classes} classes"
                + (f" ({entropy:.3g} is the entropy of these labels)" if entropy else ""),
                message=f"logits of standard deviation {_level(evidence, logits):.2g} make the untrained "
                "model confident and wrong",
                fix=fix,
            )
        elif entropy and measured < LOSS_BELOW * entropy:
            yield Found(
                "note",
                site.name,
                measured=f"cross-entropy {measured:.3g}",
                expected=f"about {guess:.3g}, that of guessing among {classes} classes",
                message="the model already knows the labels: it is trained, or the labels leak into its input",
                fix=evidence.fix("nothing to do for a trained model; otherwise look at the input", []),
            )


def _averaged(site: Site) -> bool:
    """Whether the site gives means over samples, without class weights."""
    if site.argument(2, "weight") is not None or site.kwargs.get("pos_weight") is not None:
        return False
    reduction = site.kwargs.get("reduction", "mean")
    return reduction in ("mean", "none") and "sum" not in site.args


def _entropy(evidence: Evidence) -> float | None:
    """Entropy of the observed labels in nats; None where there are no labels of classes to count."""
    labels = evidence.target
    if labels is None and isinstance(evidence.example, Mapping):
        labels = evidence.example.get("labels")
    if not isinstance(labels, Tensor) or labels.dtype not in (torch.int64, torch.int32):
        return None
    labels = labels[labels >= 0].flatten()
    if not labels.numel():
        return None
    share = torch.unique(labels, return_counts=True)[1].double() / labels.numel()
    return float(-(share * share.log()).sum())


def _level(evidence: Evidence, index: int) -> float:
    moments = evidence.tape.sites[evidence.made_by(index)].forward
    return moments.rms if moments is not None else float("nan")
