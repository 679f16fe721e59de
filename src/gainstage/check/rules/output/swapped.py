"""A rule about a cross-entropy that was given its arguments in the wrong order."""

from collections.abc import Iterator

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import comparisons, swapped_comparisons
from gainstage.check.findings import Fix, Found


@rule("OUT513", "error", explains=("FWD206", "OUT514", "OUT517"), no_number="the target comes first, or it does not")
def swapped_arguments(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Looks for a binary cross-entropy whose first argument is the target and whose second the model's output.

    ## Why is this bad?
    torch takes the prediction first, Keras the target. The logarithm of labels of 0 and 1 is infinite, so the loss is
    as large as its clamp at 100 permits and the gradient infinite, and it falls by making the output larger or smaller
    without end.

    ## Known problems
    Distances (`mse_loss`, `l1_loss`) are the same either way and not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    y = (y % 2)[:, None].float()
    loss = lambda output, y: F.binary_cross_entropy(y, output)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    y = (y % 2)[:, None].float()
    loss = lambda output, y: F.binary_cross_entropy(output, y)
    ```

    ## References
    PyTorch documentation of `binary_cross_entropy(input, target)`; Keras documentation of
    `binary_crossentropy(y_true, y_pred)`.
    """
    found = swapped_comparisons(evidence)
    if not found:
        comparisons(evidence)
    for comparison in found:
        yield Found(
            "error",
            comparison.site.name,
            measured=f"{comparison.call.op} of {evidence.tape.sites[comparison.output].name} as the target; its value "
            f"is {comparison.call.again(comparison.call.prediction):.3g}",
            expected=f"{comparison.call.op}(prediction, target)",
            message="the arguments are swapped: the loss takes logarithms of the labels and is linear in the output",
            fix=Fix(f"write {comparison.call.op}(output, target)"),
        )
