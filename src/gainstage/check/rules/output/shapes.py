"""Rules about predictions and targets whose shapes or meaning do not match."""

from collections.abc import Iterator
from math import prod

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import Comparison, comparisons
from gainstage.check.facts.targets import looks_like_classes, one_hot
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity

_REARRANGED = frozenset({"reshape", "view", "flatten", "contiguous", "clone", "float", "to", "detach", "unflatten"})


@rule("OUT507", "error", explains=("OUT505", "OUT515", "OUT518"), no_number="two shapes go together, or they do not")
def broadcast_target(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares the shapes of prediction and target where the loss would broadcast them: `[N, 1]` against `[N]` gives
    `[N, N]`.

    ## Why is this bad?
    Every prediction is compared with the target of *every* sample. The smallest loss is reached by predicting the mean
    of the targets for all, so the model learns a constant, while the loss looks reasonable.

    ## Known problems
    A target that one sample's outputs share (`[N, 1]` against `[N, K]`) may be meant, as for the members of an
    ensemble, and is a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = torch.randn(64), F.mse_loss
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = torch.randn(64)[:, None], F.mse_loss
    ```

    ## References
    PyTorch, warning of `mse_loss`: "Using a target size that is different to the input size [...] will likely lead to
    incorrect results due to broadcasting".
    """
    judged = [c for c in comparisons(evidence) if c.kind == "numbers"]
    if not judged:
        raise NotMeasured("the loss compares no numbers that could be broadcast")
    for comparison in judged:
        ours, theirs = tuple(comparison.call.prediction.shape), tuple(comparison.call.target.shape)
        together = tuple(torch.broadcast_shapes(ours, theirs))  # type: ignore[no-untyped-call]
        if ours == theirs or prod(theirs) == 1 or prod(ours) == 1:
            continue
        mixed = prod(together) > prod(ours) == prod(theirs) and len(ours) != len(theirs)
        mixed = mixed and not _unsqueezed(evidence, comparison)
        if mixed:
            yield Found(
                "error",
                comparison.site.name,
                measured=f"prediction {list(ours)} against target {list(theirs)}: {prod(together)} pairs of "
                f"{max(prod(ours), prod(theirs))} numbers",
                expected="one target for each prediction",
                message="every prediction is compared with every sample's target, and the best answer is their mean",
                fix=Fix(f"give both one shape: target.view({', '.join(map(str, (-1, *ours[1:])))})"),
            )
        elif prod(together) == prod(ours) and theirs[:1] == ours[:1]:
            yield Found(
                "note",
                comparison.site.name,
                measured=f"prediction {list(ours)} against target {list(theirs)}",
                expected="one target for each prediction",
                message="all outputs of a sample are compared with the same target",
                fix=Fix("give the target one column for each output, unless the outputs are members of an ensemble"),
            )


def _unsqueezed(evidence: Evidence, comparison: Comparison) -> bool:
    """Whether the loss itself put an axis of size 1 into the prediction or the target, to compare all pairs."""
    sites = [evidence.tape.sites[ref.site] for ref in comparison.site.inputs]
    return any(site.path == "(loss)" and site.op in ("getitem", "unsqueeze", "view", "reshape") for site in sites)


@rule("OUT510", "error", explains=("OUT507",), no_number="targets are numbers of classes, or they are not")
def classes_as_numbers(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks whether a squared or absolute error is taken against class numbers (0, 1, 2, ...).

    ## Why is this bad?
    With one output for each class, all outputs are asked for the same number, and which is largest says nothing. With
    one output, confusing class 0 with class 9 counts 81 times as much as confusing it with class 1.

    ## Known problems
    Counts, ages and ratings are whole numbers, too, and are well fitted by a squared error: with one output this is a
    note, as are one-hot rows, which work. Labels of 0 and 1 are not judged.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: F.mse_loss(output, y[:, None].float())
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = F.cross_entropy
    ```

    ## References
    Bishop, *Pattern Recognition and Machine Learning*, 2006, section 4.1.3.
    """
    for comparison in comparisons(evidence):
        if comparison.kind != "numbers":
            continue
        ours, theirs = tuple(comparison.call.prediction.shape), tuple(comparison.call.target.shape)
        if one_hot(comparison.target) and ours == theirs:
            yield Found(
                "note",
                comparison.site.name,
                measured=f"{comparison.call.op} of {ours[1]} outputs against rows with a single 1",
                expected="a cross-entropy",
                message="it learns classes, but with a small gradient behind a softmax or sigmoid: on digits plain SGD "
                "reaches 0.25 instead of 0.95, Adam the same",
                fix=Fix("use nn.CrossEntropyLoss() on raw outputs with integer labels of shape [N]"),
            )
            continue
        if not theirs or theirs[0] != evidence.tape.batch or prod(theirs) != theirs[0]:
            continue
        classes = looks_like_classes(comparison.target)
        if not classes:
            continue
        outputs = ours[1] if len(ours) == 2 else 1
        several = outputs >= classes > 1 and (len(theirs) == 2 or outputs == theirs[0])
        if not several and (classes < 3 or outputs > 1):
            continue
        yield Found(
            "error" if several and classes > 2 else "warning" if several else "note",
            comparison.site.name,
            measured=f"{comparison.call.op} of {outputs} output{'s' if outputs > 1 else ''} against the numbers of "
            f"{classes} classes",
            expected="a cross-entropy, one output for each class",
            message="all outputs of a sample are asked for the same number, so none can stand for a class"
            if several
            else "classes are fitted as numbers, as if their order and distance meant something",
            fix=Fix(f"give the last layer {classes} outputs and use nn.CrossEntropyLoss() with integer labels of [N]"),
        )


UNSEEN = Quantity(
    "probability that the labels leave out all of the last classes by chance",
    note=Limit(1e-6, "One batch in a million looks so by chance."),
)


@rule("OUT511", "note")
def unused_outputs(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the number of outputs with the largest label that occurs in the batch, where each sample has one label.

    ## Why is this bad?
    Outputs that no label ever names only learn to be small. Often the number of classes is that of another data set.

    ## Known problems
    A small batch of many classes leaves most of them out; reported only where this would happen by chance less than
    once in a million, if all classes were equally frequent.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1000))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    ```

    ## References
    Humbatova et al., *Taxonomy of Real Faults in Deep Learning Systems*, ICSE 2020.
    """
    judged = [c for c in comparisons(evidence) if c.labels is not None and c.call.target.dim() == 1]
    judged = [c for c in judged if c.call.target.shape[0] == evidence.tape.batch and c.classes > 1]
    if not judged:
        raise NotMeasured("no cross-entropy with one label a sample")
    for comparison in judged:
        labels = comparison.labels
        assert labels is not None
        if not labels.numel():
            continue
        named = int(labels.max()) + 1
        value = UNSEEN((named / comparison.classes) ** labels.numel(), comparison.site.name)
        if named < 2 or value.number > UNSEEN.note:
            yield value
            continue
        yield Found(
            "note",
            comparison.site.name,
            measured=f"{comparison.classes} outputs, labels from {int(labels.min())} to {named - 1}",
            expected=f"{named} outputs",
            message="the last outputs are named by no label of this batch",
            fix=Fix(f"give the last layer {named} outputs, if these are all classes"),
            value=value,
        )


@rule("OUT512", "error", explains=("DAT607",), no_number="a view keeps each row's classes together, or it does not")
def scrambled_classes(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for logits `[N, C, H, W]` or `[N, C, T]` that are flattened to `[-1, C]` without moving the class axis last.

    ## Why is this bad?
    A view does not move numbers: each row then holds the values of one class at C neighbouring positions instead of
    the C classes of one position, and is compared with an unrelated label.

    ## Known problems
    Only seen where nothing but views lies between the layer that makes the logits and the loss.

    ## Example
    ```python
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    x, y = torch.randn(16, 1, 6, 6), torch.randint(0, 3, (16, 6, 6))
    loss = lambda output, y: F.cross_entropy(output.view(-1, 3), y.view(-1))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    x, y = torch.randn(16, 1, 6, 6), torch.randint(0, 3, (16, 6, 6))
    loss = F.cross_entropy
    ```

    ## References
    PyTorch documentation of `CrossEntropyLoss`: input of shape (N, C, d1, d2, ...) needs no flattening.
    """
    judged = [c for c in comparisons(evidence) if c.kind == "classes"]
    if not judged:
        raise NotMeasured("the loss is no cross-entropy")
    for comparison in judged:
        if comparison.call.prediction.dim() != 2:
            continue
        shape = _made_with(evidence, comparison)
        rows, classes = comparison.call.prediction.shape
        if shape is None or len(shape) < 3 or shape[1] != classes or shape[-1] == classes or prod(shape[2:]) < 2:
            continue
        if rows * classes != prod(shape) or comparison.labels is None:
            continue
        yield Found(
            "error",
            evidence.tape.sites[comparison.output].name,
            measured=f"{list(shape)} viewed as {[rows, classes]}",
            expected="the class axis moved last before flattening",
            message="a row holds one class at many positions instead of all classes at one, beside an unrelated label",
            fix=Fix(f"give cross_entropy the {list(shape)} as it is, or write x.movedim(1, -1).reshape(-1, {classes})"),
        )


def _made_with(evidence: Evidence, comparison: Comparison) -> tuple[int, ...] | None:
    """The shape with which a convolution made the logits, if only views that move nothing came after."""
    index = comparison.output
    while evidence.tape.sites[index].op in _REARRANGED and (reads := evidence.graph.data(index)):
        index = reads[0].site
    call = evidence.graph.weights.get(index)
    made = call is not None and call.family in ("conv", "conv_transpose")
    return evidence.graph.shapes[index] if made else None
