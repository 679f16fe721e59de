"""Rules about the softmax at the output: over one unit, over the samples."""

from collections.abc import Iterator
from functools import partial

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import comparisons
from gainstage.check.facts.outputs import SOFTMAX, at_output, softmax_axis
from gainstage.check.findings import Fix, Found
from gainstage.check.repairs import without


@rule(
    "OUT502",
    "error",
    explains=("FWD201", "BWD303", "OUT501", "OUT509", "OUT511", "OUT516", "OUT518"),
    no_number="a softmax has one unit, or it has more",
)
def softmax_over_one(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Looks for a softmax at the output, or inside a cross-entropy, that chooses among one class.

    ## Why is this bad?
    $e^z / e^z = 1$ whatever $z$ is: the output is the constant 1 (its logarithm the constant 0), and its gradient is
    exactly 0. Nothing learns.

    ## Known problems
    A softmax over one entry inside the network (attention over one key, a single expert) is not judged here.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Softmax(dim=1))
    y = (y % 2)[:, None].float()
    loss = F.binary_cross_entropy
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    y = (y % 2)[:, None].float()
    loss = F.binary_cross_entropy
    ```

    ## References
    Zhang, Zhai, Fang et al., *AUTOTRAINER*, ICSE 2021; Bridle, *Probabilistic Interpretation of Feedforward
    Classification Network Outputs*, 1990.
    """
    evidence.measured()
    sites = [site for site in evidence.tape.sites if site.op in SOFTMAX and site.shape]
    seen = False
    for site in sites:
        if not at_output(evidence, site.index) or site.index in evidence.graph.constant:
            continue
        seen = True
        if site.shape[softmax_axis(site)] == 1:
            yield _found(site.name, f"the output is {'1' if site.op == 'softmax' else '0'} for every input")
    try:
        compared = comparisons(evidence)
    except NotMeasured:
        compared = []
    for comparison in compared:
        seen = True
        if comparison.call.op == "cross_entropy" and comparison.classes == 1:
            yield _found(comparison.site.name, f"cross-entropy {comparison.measured:.3g} among one class")
    if not seen:
        raise NotMeasured("no softmax at the output, and no loss that compares")


def _found(where: str, measured: str) -> Found:
    return Found(
        "error",
        where,
        measured=measured,
        expected="at least two classes to choose among",
        message="a softmax over one unit is the constant 1: its gradient is 0, and nothing before it learns",
        fix=Fix(
            "for two classes with one output use nn.BCEWithLogitsLoss() on the raw output (no softmax, float labels of "
            "shape [N, 1]); for C classes give the last layer C outputs and use nn.CrossEntropyLoss()",
            repair=partial(without, names=[where]),
        ),
    )


@rule(
    "OUT509",
    "error",
    explains=("DAT606", "DAT607", "OUT503", "OUT504", "OUT510", "OUT518"),
    no_number="a softmax runs over the samples, or it does not",
)
def softmax_over_samples(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Looks for a softmax at the output that sums over the samples of the batch instead of over the classes.

    ## Why is this bad?
    The probabilities of one class over all samples add up to 1: the samples compete with each other, the answer for a
    sample depends on its batch, and for a single sample it is the constant 1.

    ## Known problems
    Matrices with as many columns as samples (contrastive similarities) are normalized along both axes on purpose and
    are not judged.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.LogSoftmax(dim=0))
    loss = F.nll_loss
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.LogSoftmax(dim=1))
    loss = F.nll_loss
    ```

    ## References
    PyTorch documentation of `torch.nn.functional.softmax`: without `dim`, axis 0 is chosen for 1 and 3 dimensions.
    """
    evidence.measured()
    batch = evidence.tape.batch
    judged = [
        site
        for site in evidence.tape.sites
        if site.op in SOFTMAX and at_output(evidence, site.index) and site.index not in evidence.graph.constant
    ]
    if not judged or batch is None or batch < 2:
        raise NotMeasured("no softmax at the output, or only one sample")
    for site in judged:
        if softmax_axis(site) != 0 or len(site.shape) < 2 or site.shape[0] != batch or batch in site.shape[1:]:
            continue
        if not _first_axis_is_samples(evidence):
            continue
        yield Found(
            "error",
            site.name,
            measured=f"{site.op} over axis 0 of {list(site.shape)}: the {batch} samples",
            expected=f"over the axis of the {site.shape[-1]} classes",
            message="the samples of a batch compete with each other, and a single sample always gets probability 1",
            fix=Fix(f"write {site.op}(x, dim=-1)" + (" (dim=1 for images)" if len(site.shape) == 4 else "")),
        )


def _first_axis_is_samples(evidence: Evidence) -> bool:
    """Whether the example's own first axis is that of the samples: sequences may have time first."""
    inputs = [site.shape for site in evidence.tape.sites if site.kind == "input" and site.shape]
    if any(len(shape) == 3 and evidence.tape.batch == shape[1] for shape in inputs):
        return False
    return any(shape[0] == evidence.tape.batch for shape in inputs)
