"""Rules about the loss at the start."""

from collections.abc import Iterator
from math import isclose, isfinite, log

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import LOSS
from gainstage.check.facts.losses import Comparison, comparisons
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

EXCESS = Quantity(
    "nats of the first cross-entropy above that of guessing",
    note=Limit(1.0, "Logits of standard deviation 1.4; must be exceeded as well. Zoo: highest 2.0 (CLIP)."),
    warning=Limit(
        10.0,
        "Digits (3 layers, the head scaled up, Adam and SGD at the best rates): 0.97 to 0.98 at a loss of 2.3 to "
        "8.2, 0.96 at 16, 0.95 and 0.96 at 40, 0.94 and 0.12 at 200. Of real architectures with 10 classes at their"
        " default start (timm) MNASNet has 11.2, MixNet 4.9.",
    ),
)
KNOWN = Quantity(
    "cross-entropy at the start over the labels' entropy",
    note=Limit(0.5, "The model knows the labels already. Zoo: 0.1 trained; else lowest 0.34 (contrastive)."),
)
REGRESSION = Quantity(
    "loss at the start over that of answering the mean of the targets",
    warning=Limit(
        30.0,
        "Where answering 0 is better. Digits (a smooth target of standard deviation s, R^2): 0.99 at 0.8 (s = 1), "
        "0.97 at 3 (s = 0.1), 0.19 at 220 (s = 0.01). Zoo: highest 10 (ages).",
    ),
)


@rule("OUT501", "warning")
def initial_loss(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares the loss of the first pass with that of guessing, found by asking the same loss function about a
    prediction that is alike for all classes: $\ln C$ for $C$ classes, times what weights and sums make of it. For a
    regression it is the loss of answering the mean of the targets, their variance for a squared error.

    ## Why is this bad?
    A network that knows nothing should say so. A loss above guessing means confident wrong outputs: the output head or
    the signal before it is too large, and the first steps are spent on shrinking it. Up to 10 nats above guessing
    that is all that happens, and a note.

    ## Known problems
    A hand-written loss is judged where it squares `prediction - target`. A loss far below the entropy of the labels is
    a note: the model is trained already, or the labels leak.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.normal_(model[2].weight, std=5.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Karpathy, *A Recipe for Training Neural Networks*, 2019: "verify loss @ init".
    """
    seen = False
    for comparison in comparisons(evidence):
        measured, guess = comparison.measured, comparison.guess
        if not isfinite(measured) or not isfinite(guess) or guess <= 0:
            continue
        seen = True
        if comparison.kind == "numbers":
            yield from _numbers(evidence, comparison, measured, guess)
        else:
            yield from _classes(evidence, comparison, measured, guess)
    if not seen:
        raise NotMeasured("the loss is the same whatever the model guesses")


def _classes(evidence: Evidence, comparison: Comparison, measured: float, guess: float) -> Iterator[Found | Value]:
    classes = comparison.classes
    unit = guess / log(classes)  # 1 for a mean; the number of samples for a sum; the weight of the labels
    entropy = comparison.entropy
    expected = f"about {guess:.3g}, that of guessing among {classes} classes" + (
        f" ({entropy:.3g} is the entropy of these labels)" if entropy and isclose(unit, 1.0, rel_tol=0.01) else ""
    )
    name = comparison.site.name
    factor, excess = LOSS(measured / guess, name), EXCESS((measured - guess) / unit, name)
    known = KNOWN(measured / (entropy * unit), name) if entropy else None
    if factor.number > LOSS.note and excess.number > EXCESS.note:
        heads = [w.name for w in evidence.weights if set(w.sites) & set(evidence.heads)]
        yield Found(
            "warning" if excess.number > EXCESS.warning else "note",
            name,
            measured=f"cross-entropy {measured:.3g}",
            expected=expected,
            message=f"outputs of standard deviation {_level(comparison):.2g} make the untrained model confident and "
            "wrong",
            fix=evidence.fix("start the output head anew: gs.initialize(model, example)", heads),
            value=excess,
        )
    elif known and known.number < KNOWN.note:
        yield Found(
            "note",
            name,
            measured=f"cross-entropy {measured:.3g}",
            expected=expected,
            message="the model already knows the labels: it is trained, or the labels leak into its input",
            fix=evidence.fix("nothing to do for a trained model; otherwise look at the input", []),
            value=known,
        )
    else:
        yield from (value for value in (factor, excess, known) if value is not None)


def _numbers(evidence: Evidence, comparison: Comparison, measured: float, guess: float) -> Iterator[Found | Value]:
    zero = comparison.call.again(torch.zeros_like(comparison.call.prediction))
    value = REGRESSION(measured / guess, comparison.site.name)
    if value.number <= REGRESSION.warning or measured <= 4 * zero:
        yield value
    else:
        heads = [w.name for w in evidence.weights if set(w.sites) & set(evidence.heads)]
        yield Found(
            "warning",
            comparison.site.name,
            measured=f"loss {measured:.3g} with outputs of RMS {_level(comparison):.3g}",
            expected=f"about {guess:.3g}, that of answering the mean of the targets; answering 0 gives {zero:.3g}",
            message="the untrained model's outputs are far larger than the targets, and the first steps shrink them",
            fix=evidence.fix("start the output head anew: gs.initialize(model, example)", heads),
            value=value,
        )


def _level(comparison: Comparison) -> float:
    return float(comparison.prediction.square().mean().sqrt())
