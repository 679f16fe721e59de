"""The rule about losses whose best answer is one for all samples."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.oracle import free, targets_vary
from gainstage.check.findings import Fix, Found, Value


@rule(
    "OUT515",
    "error",
    explains=("OUT501",),
    no_number="samples with one output and different targets get one gradient, or they do not",
)
def one_answer_for_all(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Gives the loss, asked alone, the same output for every sample, and looks whether it then asks for the same change
    of each, although their targets differ, and others would change it.

    ## Why is this bad?
    Such a loss compares every sample with the targets of all: `[N]` against `[N, 1]` gives `[N, N]`. It is smallest
    where every output is the mean of the targets, so the model learns a constant.

    ## Known problems
    Terms that do not depend on targets are not meant.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    y = torch.randn(64, 1)
    loss = lambda value, y: 0.5 * (y - value).square().mean()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
    y = torch.randn(64, 1)
    loss = lambda value, y: 0.5 * (y[:, 0] - value).square().mean()
    ```

    ## References
    PyTorch, warning of `mse_loss`: "Using a target size that is different to the input size [...] will likely lead to
    incorrect results due to broadcasting".
    """
    parts = free(evidence)
    if not targets_vary(evidence):
        raise NotMeasured("all samples have the same target, or targets are not known by sample")
    for part in parts:
        if part.alike:
            yield Found(
                "error",
                "loss",
                measured=f"{len(part.values)} samples with one output and different targets are all given the same "
                f"gradient, for the output of shape {list(part.values.shape)}",
                expected="a gradient that depends on the sample's own target",
                message="every output is compared with the targets of all samples, and the best answer is their mean",
                fix=Fix("give output and target one shape before they are subtracted: output.view_as(target)"),
            )
