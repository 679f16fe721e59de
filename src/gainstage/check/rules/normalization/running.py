"""Rules about the stored statistics of batch normalizations: momentum, age, and what they do in evaluation."""

from collections.abc import Iterator
from math import inf, prod

from torch.nn.modules.batchnorm import _BatchNorm

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.statistics import Stored
from gainstage.check.facts.running import GAP, batches_seen, broken, gap, in_training, layers, untouched
from gainstage.check.facts.symptoms import severity
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import training_mode

STALE_RATIO = Quantity(
    "variance of the batch over the stored one, or its inverse; median of the channels",
    warning=Limit(10.0, "That of one channel over 8 samples is within 0.15 to 2.3 (98 %)."),
)
STALE_SHIFT = Quantity(
    "batch mean minus stored mean in stored standard deviations; median of the channels",
    warning=Limit(3.0, "That of one channel over 8 samples is within 0.82 (98 %, normal values)."),
)


@rule("NRM404", "warning", explains=("INI104", "INI105", "NRM406"))
def stale_statistics(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares stored means and variances of batch normalizations with those of the batch, in one pass in training mode,
    where the model has been trained or is given in evaluation mode. Also finds stored values that are NaN or negative.

    ## Why is this bad?
    In evaluation the stored statistics are used. Where no batch ever updated them they are 0 and 1, and nothing is
    normalized; NaN in one of them makes every prediction NaN.

    ## Known problems
    A gap alone is a note: the example may simply be other data than the model was trained on. It is a warning where the
    trained model's loss is worse in evaluation mode. A new model in training mode is not judged.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    x = 10 * x + 5
    model.eval()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    x = 10 * x + 5
    for _ in range(100):
        model(x)
    model.eval()
    ```

    ## References
    Ioffe, Szegedy, *Batch Normalization*, ICML 2015, section 3.1.
    """
    evidence.measured()
    found = _layers(evidence)
    bad = [path for path, layer in found.items() if broken(layer)]
    if bad:
        yield Found(
            "error" if any(not found[path].training for path in bad) else "warning",
            bad[0],
            measured=f"NaN, infinite or negative running statistics in {len(bad)} of {len(found)} layers",
            expected="finite means, positive variances",
            message="in evaluation mode every output that passes here is lost",
            fix=evidence.fix("call reset_running_stats() and run some batches in training mode", [], training_mode),
        )
        return
    used = {path: layer for path, layer in found.items() if batches_seen(layer) or not layer.training}
    if not used:
        raise NotMeasured("a new model in training mode: nothing is stored yet, and nothing stored is used")
    stored = [s for s in in_training(evidence).stored if s.path in used]
    far = [s for s in stored if _far(s.shift, s.ratio)]
    if not far:
        yield from (value for s in stored for value in (_ratio(s), STALE_SHIFT(s.shift, s.path)))
        return
    worst = max(far, key=lambda s: max(_ratio(s).number, s.shift))
    never = untouched(found[worst.path])
    yield Found(
        _severity(evidence, never),
        worst.path,
        measured=f"the batch's variance is {worst.ratio:.3g} times the stored one, its mean {worst.shift:.3g} stored "
        f"standard deviations away; {len(far)} of {len(found)} layers",
        expected=f"variance within a factor {STALE_RATIO.warning:.0f}, mean within {STALE_SHIFT.warning:.0f}",
        message="no batch ever updated the running statistics"
        if never
        else f"after {batches_seen(found[worst.path])} batches the running statistics are not those of this data",
        fix=evidence.fix("run some batches of the training data in training mode before evaluation", [], training_mode),
        value=STALE_SHIFT(worst.shift) if worst.shift > STALE_SHIFT.warning else _ratio(worst),
    )


def _ratio(stored: Stored) -> Value:
    return STALE_RATIO(max(stored.ratio, 1 / max(stored.ratio, 1e-12)), stored.path)


def _severity(evidence: Evidence, never: bool) -> Severity:
    """A warning where evaluation is worse; in a model that is trained as it is now, that of what it does to it."""
    if _harmful(evidence) or (never and frozen_without(evidence)):
        return "warning"
    return severity(evidence, "FWD201", "FWD202", "FWD203", "BWD301", "OUT501") if never else "note"


def frozen_without(evidence: Evidence) -> bool:
    """Whether a layer in evaluation mode has a scale and shift that were trained, and statistics that never were."""
    for layer in layers(evidence.model).values():
        trained = layer.affine and not bool((layer.weight == 1).all()) and bool(layer.bias.any())
        if trained and not layer.training and untouched(layer):
            return True
    return False


def _far(shift: float, ratio: float) -> bool:
    return shift > STALE_SHIFT.warning or not 1 / STALE_RATIO.warning < ratio < STALE_RATIO.warning


MOMENTUM = Quantity(
    "weight of the last batch in the running statistics",
    note=Limit(0.9, "PyTorch's default is 0.1; 0.9, 0.99 and 0.997 are weights of the old value elsewhere."),
)


NOISE = Quantity(
    "values behind each running statistic: of a channel and batch, over the weight of the batch",
    warning=Limit(8.0, "A variance of 8 values is off by half of itself. Zoo: lowest 32."),
)
SLOW = Quantity(
    "weight of the last batch in running statistics that are still as they began",
    warning=Limit(2e-4, "5,000 batches until they are those of the data. The smallest published is 3e-4 (Inception)."),
)


@rule("NRM405", "note", explains=("NRM404", "NRM406"))
def momentum(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Finds batch normalizations whose momentum is near 1, or 0.

    ## Why is this bad?
    In PyTorch momentum is the weight of the *new* batch, 0.1 by default; in Keras and TensorFlow it is that of the old
    value, 0.99. Keras's number typed into PyTorch makes the running statistics those of the last batch, with its noise:
    the mean of 32 samples is off by 0.18 standard deviations. With 0 they are never updated.

    ## Known problems
    Several published ports carry the number (EfficientNet and MobileNet in transformers): with large batches it does
    little, so this is a note unless a trained model is worse in evaluation mode, or a batch holds fewer than eight
    values of a channel. Below 2e-4 it is a warning for a new model: evaluation uses what the statistics began with.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64, momentum=0.99), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64, momentum=0.01), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    PyTorch documentation, `torch.nn.BatchNorm1d`: "different from the one used in optimizer classes".
    """
    evidence.measured()
    found = _layers(evidence)
    odd = {path: m.momentum for path, m in found.items() if m.momentum is not None and _odd(m)}
    slow = {p: m.momentum for p, m in found.items() if m.momentum and m.momentum < SLOW.warning and m.training}
    if slow:
        first, value = next(iter(slow.items()))
        yield Found(
            "warning" if untouched(found[first]) else "note",
            first,
            measured=f"momentum {value:g} in {len(slow)} of {len(found)} layers",
            expected="the weight of the new batch: 0.1",
            message=f"the running statistics need about {1 / value:,.0f} batches to leave what they began with, and "
            "evaluation uses them",
            fix=evidence.fix("momentum=0.1", []),
            value=SLOW(value),
        )
        return
    if not odd:
        yield from (MOMENTUM(m.momentum, path) for path, m in found.items() if m.momentum is not None)
        return
    first, value = next(iter(odd.items()))
    samples = evidence.tape.batch or 1
    values = NOISE(min(_values(evidence, path) / odd[path] for path in odd if odd[path]) if value else inf, first)
    if values.number < NOISE.warning and found[first].training:
        yield Found(
            "warning",
            first,
            measured=f"momentum {value:g}, and {values.number:.0f} values of each channel in a batch",
            expected="the weight of the new batch: 0.1, or 0.01 for Keras's 0.99",
            message="the running statistics are those of the last batch, whose variance is off by half of itself",
            fix=evidence.fix(f"momentum={round(1 - value, 6):g}", []),
            value=values,
        )
        return
    yield Found(
        "warning" if _harmful(evidence) else "note",
        first,
        measured=f"momentum {value:g} in {len(odd)} of {len(found)} layers",
        expected="the weight of the new batch: 0.1, or 0.01 for Keras's 0.99",
        message=f"{value:.1%} of the running statistics come from the last batch; a mean over {samples} samples is off "
        f"by about {samples**-0.5:.2g} standard deviations"
        if value
        else "the running statistics are never updated, and evaluation uses what they began with",
        fix=evidence.fix(f"momentum={round(1 - value, 6):g}" if 0 < value < 1 else "momentum=0.1", []),
        value=MOMENTUM(value) if value else None,
    )


def _values(evidence: Evidence, path: str) -> float:
    """Values of a channel that the smallest batch of a layer holds."""
    shapes = [s.shape for s in evidence.tape.sites if s.path == path and s.op == "batch_norm" and len(s.shape) > 1]
    return min((prod(shape) / shape[1] for shape in shapes), default=inf)


def _odd(layer: _BatchNorm) -> bool:
    """Near 1, but not 1, which says on purpose that the last batch counts; or 0 in a layer that is trained."""
    value = layer.momentum if layer.momentum is not None else 0.1
    return MOMENTUM.note <= value < 1 or (value == 0 and layer.training and untouched(layer))


@rule("NRM406", "warning")
def evaluation_gap(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Runs a trained model with batch normalization in training and in evaluation mode, without dropout, and compares the
    losses on the same batch.

    ## Why is this bad?
    A model that fits the batch with the batch's own statistics and not with the stored ones has learned something that
    is not there at test time.

    ## Known problems
    Only where the running statistics have settled and the loss in training mode is well below guessing: a new model
    may differ between the modes as much as it likes.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    step = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        step.zero_grad()
        loss(model(x), y).backward()
        step.step()
    model[1].running_var.fill_(1000.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    step = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        step.zero_grad()
        loss(model(x), y).backward()
        step.step()
    ```

    ## References
    Wu, Johnson, *Rethinking "Batch" in BatchNorm*, 2021, section 3.
    """
    evidence.measured()
    found = gap(evidence)
    value = GAP(found.evaluation / found.training if found.training > 0 else inf)
    if not found.harmful:
        yield value
        return
    yield Found(
        "warning",
        next(path for path, layer in layers(evidence.model).items() if batches_seen(layer)),
        measured=f"loss {found.training:.3g} in training mode, {found.evaluation:.3g} in evaluation mode",
        expected=f"about the same; guessing costs {found.guess:.3g}",
        message="what the model has learned holds with the statistics of the batch, not with the stored ones",
        fix=evidence.fix("recompute the running statistics: torch.optim.swa_utils.update_bn(loader, model)", []),
        value=value,
    )


def _harmful(evidence: Evidence) -> bool:
    try:
        return gap(evidence).harmful
    except NotMeasured:
        return False


def _layers(evidence: Evidence) -> dict[str, _BatchNorm]:
    found = layers(evidence.model)
    if not found:
        raise NotMeasured("no batch normalization stores statistics")
    return found
