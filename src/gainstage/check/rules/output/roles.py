"""The rule about hand-written losses whose arguments changed places."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.oracle import free
from gainstage.check.findings import Fix, Found, Value


@rule("OUT517", "warning", explains=("OUT501",), no_number="a function is linear, or it is not")
def exchanged_roles(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Asks the loss alone, about a few outputs and a few targets of the same shape, and looks in which of the two it is
    linear.

    ## Why is this bad?
    A cross-entropy $-\sum t \ln p$ is linear in the target and curved in the prediction. Where it is the other way
    round, prediction and target have changed places: its gradient does not depend on what the model says, and outputs
    run to the ends of their range.

    ## Known problems
    Losses that are linear in both (an expected reward) are not meant.

    ## Example
    ```python
    def cross_entropy(p, t):
        return -(t * (p + 1e-7).log() + (1 - t) * (1 - p + 1e-7).log()).mean()

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Sigmoid())
    y = F.one_hot(y, 4).float()
    loss = lambda p, y: cross_entropy(y, p)
    ```

    ## Use instead
    ```python
    def cross_entropy(p, t):
        return -(t * (p + 1e-7).log() + (1 - t) * (1 - p + 1e-7).log()).mean()

    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Sigmoid())
    y = F.one_hot(y, 4).float()
    loss = cross_entropy
    ```

    ## References
    Gneiting, Raftery, *Strictly Proper Scoring Rules, Prediction, and Estimation*, JASA 2007: an expected score is
    linear in the distribution that is forecast against.
    """
    parts = [part for part in free(evidence) if part.perfect == part.perfect]
    if not parts:
        raise NotMeasured("no output has the shape of the targets")
    for part in parts:
        if part.linear and part.curved and part.heeds_target:
            yield Found(
                "warning",
                "loss",
                measured=f"the loss is linear in the output, the same gradient at {len(part.gradients)} outputs, and "
                "curved in the target",
                expected="linear in the target, curved in the output",
                message="prediction and target have changed places in the loss",
                fix=Fix("exchange the two arguments"),
            )
