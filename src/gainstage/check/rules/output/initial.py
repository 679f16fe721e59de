"""Rules about the loss at the start."""

from collections.abc import Iterator
from math import isclose, isfinite, log

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import Comparison, comparisons
from gainstage.check.findings import Found
from gainstage.check.thresholds import LOSS_BELOW, LOSS_EXCESS, LOSS_FACTOR, LOSS_HARM, REGRESSION_FACTOR


@rule("OUT501", "initial-loss", "warning")
def initial(evidence: Evidence) -> Iterator[Found]:
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
    for comparison in evidence.once(comparisons):
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


def _classes(evidence: Evidence, comparison: Comparison, measured: float, guess: float) -> Iterator[Found]:
    classes = comparison.classes
    unit = guess / log(classes)  # 1 for a mean; the number of samples for a sum; the weight of the labels
    entropy = comparison.entropy
    expected = f"about {guess:.3g}, that of guessing among {classes} classes" + (
        f" ({entropy:.3g} is the entropy of these labels)" if entropy and isclose(unit, 1.0, rel_tol=0.01) else ""
    )
    if measured > LOSS_FACTOR * guess and measured > guess + LOSS_EXCESS * unit:
        heads = [w.name for w in evidence.weights if set(w.sites) & set(evidence.heads)]
        yield Found(
            "warning" if measured > guess + LOSS_HARM * unit else "note",
            comparison.site.name,
            measured=f"cross-entropy {measured:.3g}",
            expected=expected,
            message=f"outputs of standard deviation {_level(comparison):.2g} make the untrained model confident and "
            "wrong",
            fix=evidence.fix("start the output head anew: gs.initialize(model, example)", heads),
        )
    elif entropy and measured < LOSS_BELOW * entropy * unit:
        yield Found(
            "note",
            comparison.site.name,
            measured=f"cross-entropy {measured:.3g}",
            expected=expected,
            message="the model already knows the labels: it is trained, or the labels leak into its input",
            fix=evidence.fix("nothing to do for a trained model; otherwise look at the input", []),
        )


def _numbers(evidence: Evidence, comparison: Comparison, measured: float, guess: float) -> Iterator[Found]:
    zero = comparison.call.again(torch.zeros_like(comparison.call.prediction))
    if measured > REGRESSION_FACTOR * guess and measured > 4 * zero:
        heads = [w.name for w in evidence.weights if set(w.sites) & set(evidence.heads)]
        yield Found(
            "warning",
            comparison.site.name,
            measured=f"loss {measured:.3g} with outputs of RMS {_level(comparison):.3g}",
            expected=f"about {guess:.3g}, that of answering the mean of the targets; answering 0 gives {zero:.3g}",
            message="the untrained model's outputs are far larger than the targets, and the first steps shrink them",
            fix=evidence.fix("start the output head anew: gs.initialize(model, example)", heads),
        )


def _level(comparison: Comparison) -> float:
    return float(comparison.prediction.square().mean().sqrt())
