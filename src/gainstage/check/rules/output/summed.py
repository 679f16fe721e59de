"""A rule about losses that add up samples instead of averaging them."""

from collections.abc import Iterator

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import PLAIN_STEP
from gainstage.check.facts.losses import Comparison, comparisons, plain_step
from gainstage.check.findings import Fix, Found
from gainstage.check.quantity import Limit, Quantity

TERMS = Quantity("terms that the loss adds up", note=Limit(1.0, "A mean does not grow with their number."))


@rule("OUT508", "note", explains=("OPT808", "OPT804", "OPT815"))
def summed_loss(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Finds losses with `reduction="sum"`. Where the optimizer is plain SGD it measures the first step, learning rate
    times the norm of the gradient over the norm of the weight, with the sum and with the mean.

    ## Why is this bad?
    The gradient grows with the number of samples: a learning rate that fits one batch size is too large for another,
    and the short last batch of an epoch counts less than its samples deserve. A warning where the step exceeds the
    weight itself, and the mean's would not.

    ## Known problems
    Adam divides the scale of the gradient out, and the lower bound of a variational autoencoder is a sum by derivation:
    without plain SGD this is a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = torch.randn(64, 1), nn.MSELoss(reduction="sum")
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = torch.randn(64, 1), nn.MSELoss()
    ```

    ## References
    Goyal et al., *Accurate, Large Minibatch SGD*, 2017, section 3: "a common mistake" about gradient scaling.
    """
    for comparison in comparisons(evidence):
        if (
            comparison.call.options.get("reduction") != "sum"
            and comparison.call.options.get("size_average") is not False
        ):
            continue
        terms = _terms(comparison)
        if terms < 2:
            continue
        ratio, name = plain_step(evidence)
        harmful = ratio > PLAIN_STEP.warning and ratio / terms <= PLAIN_STEP.warning
        yield Found(
            "warning" if harmful else "note",
            comparison.site.name,
            measured=f"a sum of {terms} terms"
            + (f"; one step of SGD changes {name} by {ratio:.2g} times its norm" if ratio == ratio else ""),
            expected="the mean" + (f", with which it is {ratio / terms:.2g}" if ratio == ratio else ""),
            message="the gradient, and with plain SGD the step, grows with the number of samples",
            fix=Fix(f'use reduction="mean", or divide the learning rate by {terms}'),
            value=PLAIN_STEP(ratio) if harmful else TERMS(terms),
        )


def _terms(comparison: Comparison) -> int:
    labels = comparison.labels
    return comparison.call.target.numel() if labels is None else labels.numel()
