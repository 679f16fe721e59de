"""Rules about the targets: their scale, labels that are all equal, labels that were scaled like the input."""

from collections.abc import Iterator
from math import inf

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.virtual_step import STEP
from gainstage.check.facts.limits import CONSTANT_SAMPLES, PLAIN_STEP
from gainstage.check.facts.losses import Comparison, comparisons, only, plain_step
from gainstage.check.facts.targets import step_of
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import standard_targets
from gainstage.signal import Ref

TARGET_STEPS = Quantity(
    "steps of 1e-3 (the largest rate) in every parameter that reach the targets, to first order",
    warning=Limit(
        2e3,
        "Loss over 1e-3 times the sum of |g|. Digits (a smooth target of standard deviation s, Adam and SGD, R^2): "
        "0.99 and 0.98 at 25 (s = 1), 0.98 and 0.97 at 830 (s = 30); 0.96 and at best 0 at 2,800 (s = 100); 0.77 "
        "and -9 at 28,000, 0.25 at 280,000. Zoo: highest 1,200 (ages).",
    ),
    error=Limit(1e5, "Between the last two."),
)
TARGET_OFFSET = Quantity(
    "loss at the start over the variance of the targets",
    warning=Limit(
        300.0,
        "Targets of standard deviation 1 and mean m: 0.93 at 9 (m = 3), 0.85 at 99 (m = 10), -1.1 at 900 (m = 30). "
        "Zoo: highest 10 (ages).",
    ),
)
TARGET_SMALL = Quantity(
    "loss at the start over that of answering the mean of the targets, where these are below 0.01 in size",
    warning=Limit(1e3, "Digits (targets of standard deviation s, R^2): 0.97 at 3 (s = 0.1), 0.19 at 220 (s = 0.01)."),
)
UNBELIEVABLE = Limit(1e12, "Money and cells are counted in billions; beyond, a sentinel or an overflow was kept.")
TARGET_SMALL_SIZE = Limit(1e-2, "Targets below this are in a unit that is far too large for them.")
TARGET_OFFSET_STEPS = Limit(100.0, "Steps, as above, that must be exceeded as well: a small offset is soon learned.")


@rule("DAT603", "warning", explains=("BWD302", "FWD204", "OPT804", "OPT815", "OUT501"))
def target_scale(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    For a regression, estimates how far the targets are from the outputs in steps of training: the loss over what one
    step of $10^{-3}$ (or of the learning rate that Adam is given) in every parameter takes away to first order,
    $L / (10^{-3} \lVert g \rVert_1)$.

    ## Why is this bad?
    Adam moves every parameter by about the learning rate in a step, so outputs reach targets in the thousands only
    after thousands of steps. With plain SGD the gradient grows with the targets, and from a standard deviation of about
    100 on every usual learning rate diverges or kills the ReLUs.

    ## Known problems
    Judged where this comparison is the whole loss. A warning; an error beyond 100,000 steps, or where the first step of
    plain SGD exceeds a weight's own norm.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    y, loss = 200_000 + 50_000 * torch.randn(64, 1), F.mse_loss
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    y, loss = torch.randn(64, 1), F.mse_loss
    ```

    ## References
    Bishop, *Neural Networks for Pattern Recognition*, 1995, section 8.2: rescaling of inputs and targets.
    """
    evidence.backward_measured()
    judged = [c for c in comparisons(evidence) if c.kind == "numbers" and only(evidence, c)]
    if not judged or not evidence.gradients:
        raise NotMeasured("the loss is no comparison of numbers alone")
    comparison = judged[0]
    measured, guess = comparison.measured, comparison.guess
    pull = sum(float(g.to_dense().abs().sum(dtype=torch.float64)) for g in evidence.gradients.values())
    zero = comparison.call.again(torch.zeros_like(comparison.call.prediction))
    size_of = float(comparison.target.square().mean().sqrt())
    small = TARGET_SMALL(measured / guess if guess > 0 else 0.0, comparison.site.name)
    if size_of < TARGET_SMALL_SIZE and small.number > TARGET_SMALL.warning:
        yield Found(
            "warning",
            comparison.site.name,
            measured=f"targets of RMS {size_of:.2g} against outputs of RMS "
            f"{float(comparison.prediction.square().mean().sqrt()):.2g}: the loss is {small.number:.1g} times that of "
            "answering their mean",
            expected="targets of standard deviation 1 around 0",
            message="the network's own start is far larger than all that it is to learn",
            fix=Fix("train on (y - y.mean()) / y.std() and scale predictions back", repair=standard_targets),
            value=small,
        )
        return
    if not measured > 0 or not pull > 0 or measured > 4 * zero:
        return
    plain = evidence.optimizer is None or isinstance(evidence.optimizer, torch.optim.SGD)
    size = STEP if plain else max(float(group["lr"]) for group in evidence.optimizer.param_groups)  # type: ignore[union-attr]
    steps = measured / (size * pull) if size > 0 else inf
    target = comparison.target
    mean, deviation = float(target.mean()), float(target.std(correction=0))
    shifted = steps > TARGET_OFFSET_STEPS and measured > TARGET_OFFSET.warning * guess
    ratio, weight = plain_step(evidence)
    unstable = steps > TARGET_OFFSET_STEPS and ratio > PLAIN_STEP.warning
    name = comparison.site.name
    offset = TARGET_OFFSET(measured / guess if guess > 0 else inf, name)
    if not (steps > TARGET_STEPS.warning or shifted or unstable):
        yield from (TARGET_STEPS(steps, name), offset)
    else:
        far = steps > TARGET_STEPS.error
        output = float(comparison.prediction.square().mean().sqrt())
        yield Found(
            "error" if far or unstable else "warning",
            name,
            measured=f"targets of mean {mean:.3g} and standard deviation {deviation:.3g} against outputs of RMS "
            f"{output:.2g}: about {steps:.2g} steps of {size:g} in every parameter"
            + (f"; one step of SGD changes {weight} by {ratio:.2g} times its norm" if unstable else ""),
            expected=f"targets of standard deviation 1 around 0, below {TARGET_STEPS.warning:.0f} steps",
            message="plain SGD diverges on gradients that grow with the targets"
            if unstable
            else "the outputs start near 0 and reach the targets only after that many steps",
            fix=Fix(_rescaled(mean, deviation), repair=standard_targets),
            value=TARGET_STEPS(steps) if steps > TARGET_STEPS.warning else offset if shifted else PLAIN_STEP(ratio),
        )


def _rescaled(mean: float, deviation: float) -> str:
    if max(abs(mean), deviation) > UNBELIEVABLE:
        return "look at where these numbers come from: no unit makes targets so large"
    said = f"train on (y - {mean:.4g}) / {deviation or 1:.4g} and scale predictions back"
    return said + ("" if deviation else "; all targets are equal")


@rule(
    "DAT604",
    "warning",
    explains=("FWD201", "OPT804", "OPT815"),
    no_number="the targets of a batch are one number, or they are not",
)
def constant_target(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks whether all samples of the batch have one label.

    ## Why is this bad?
    The best answer is then a constant, and that is what such batches teach. Usually a data set is sorted by class and
    not shuffled, or the labels were lost on the way (an integer division, a wrong column).

    ## Known problems
    A warning for a cross-entropy with at least 32 samples; a note for fewer, and for other losses: a discriminator's
    batch has one label on purpose.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    y = torch.zeros(64, dtype=torch.long)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    y = torch.arange(64) % 4
    ```

    ## References
    Bengio, *Practical Recommendations for Gradient-Based Training of Deep Architectures*, 2012: shuffled examples.
    """
    for comparison in comparisons(evidence):
        labels = comparison.labels
        values = comparison.target.flatten() if labels is None else labels
        if values.numel() < 2 or bool((values != values[0]).any()):
            continue
        samples = comparison.call.target.dim() == 1 and labels is not None and _has_a_head(evidence, comparison)
        yield Found(
            "warning" if samples and values.numel() >= CONSTANT_SAMPLES else "note",
            comparison.site.name,
            measured=f"all {values.numel()} targets are {float(values[0]):.4g}",
            expected="targets that differ",
            message="a batch in which every answer is the same teaches the model to ignore its input",
            fix=Fix("shuffle the data (DataLoader(..., shuffle=True)), and look at how the labels are made"),
        )


def _has_a_head(evidence: Evidence, comparison: Comparison) -> bool:
    """Whether a weight makes one output a class; classes of a contrastive loss are other samples, the first right."""
    source = evidence.graph.source(Ref(comparison.output))
    call = evidence.graph.weights.get(source)
    return call is not None and comparison.classes > 1 and evidence.graph.units(call)[0] == comparison.classes


INFORMATION = Quantity(
    "bits that binary targets tell about a sample",
    warning=Limit(
        0.01,
        "Loss of the best constant minus smallest loss, over ln 2. Balanced labels: 1; balanced labels divided by "
        "255: 4e-3.",
    ),
)


@rule("DAT605", "warning", explains=("OUT505", "OUT511"))
def scaled_labels(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Looks for class labels that were multiplied or divided, mostly together with the input: integer labels that are all
    multiples of a number (0 and 255 of a mask), and binary targets that hardly differ from each other (0 and 1/255).
    The second is measured as what the targets tell about a sample: the loss of the best constant minus the smallest
    loss.

    ## Why is this bad?
    Labels of 0 and 255 need 256 outputs of which two are used. Targets of 0 and 1/255 ask for almost the same answer
    for every sample, so the difference between classes makes no gradient.

    ## Known problems
    Soft targets of a rare event may tell as little as that. Labels that are multiples of another number than one that
    divides 255 are a note: a batch may hold few of many classes.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = (torch.randn(64, 1) > 0).float() / 255, F.binary_cross_entropy_with_logits
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    y, loss = (torch.randn(64, 1) > 0).float(), F.binary_cross_entropy_with_logits
    ```

    ## References
    Humbatova et al., *Taxonomy of Real Faults in Deep Learning Systems*, ICSE 2020: wrong labels and preprocessing.
    """
    for comparison in comparisons(evidence):
        found = _multiples(comparison) if comparison.labels is not None else _divided(comparison)
        if found is not None:
            yield found


def _multiples(comparison: Comparison) -> Found | None:
    labels = comparison.labels
    if labels is None or labels.numel() < CONSTANT_SAMPLES:
        return None
    step, values = step_of(labels), len(torch.unique(labels))
    scaled_to_bytes = int(labels.max()) == 255 and step >= _BYTE_STEP
    if not scaled_to_bytes and (step < _WIDE_STEP or values < _WIDE_VALUES):
        return None
    classes = int(labels.max()) // step + 1
    return Found(
        "warning" if scaled_to_bytes else "note",
        comparison.site.name,
        measured=f"all labels are multiples of {step}, up to {int(labels.max())}",
        expected=f"0 to {classes - 1}",
        message=f"the labels were scaled, and only every {step}th of {comparison.classes} outputs is ever right",
        fix=Fix(f"divide the labels by {step} and give the last layer {classes} outputs"),
    )


_BYTE_STEP, _WIDE_STEP, _WIDE_VALUES = 5, 10, 4  # 4 labels are multiples of 10 by chance once in 1000


def _divided(comparison: Comparison) -> Found | Value | None:
    target = comparison.target
    if comparison.kind != "binary" or target.numel() < CONSTANT_SAMPLES:
        return None
    if not float(target.max()) > float(target.min()) >= 0 or float(target.max()) > 1 or len(torch.unique(target)) > 20:
        return None
    told = float(_entropy(target.mean()) - _entropy(target).mean()) / _entropy(torch.tensor(0.5)).item()
    if told > INFORMATION.warning or float(target.max()) > 0.5 or float(target.min()) > 0:
        return INFORMATION(told, comparison.site.name)
    return Found(
        "warning",
        comparison.site.name,
        measured=f"targets from 0 to {float(target.max()):.3g} tell {told:.1e} of one bit about a sample",
        expected="labels of 0 and 1",
        message="the targets of both classes are almost equal, so their difference makes no gradient",
        fix=Fix(f"the labels were scaled: multiply them by {1 / float(target.max()):.4g}"),
        value=INFORMATION(told),
    )


def _entropy(p: torch.Tensor) -> torch.Tensor:
    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))
