"""Rules about the scale of the input: too large, too small, far from 0, or another for every column."""

from collections.abc import Iterator

from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.listen import listen
from gainstage.check.facts.inputs import Entrance, entrances
from gainstage.check.facts.limits import CONSTANT_SAMPLES, LOSS, PLAIN_STEP, SATURATED
from gainstage.check.facts.losses import comparisons, heard_loss, plain_steps
from gainstage.check.facts.symptoms import harm
from gainstage.check.findings import Fix, Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import standard_inputs
from gainstage.run import map_tensors

INPUT = Quantity(
    "RMS of what a first weight multiplies",
    note=Limit(
        3.0,
        "Where harm is measured besides: names the cause of an initial loss that is too high. Raw digits, 0 to 16: "
        "RMS 7.8, initial cross-entropy 4.5 to 12.4 with Glorot's weights at width 64, 2.3 to 2.5 when divided by "
        "16.",
    ),
    warning=Limit(
        30.0,
        "Digits, Adam: 0.96 at 1, 0.97 at 10, 0.96 at 30, 0.93 at 1000. SGD fails at its usual rate from 30 on "
        "(0.28 instead of 0.95 at 0.1). Zoo: highest 2.2.",
    ),
)
INPUT_SMALL = Quantity(
    "RMS of what a first weight multiplies",
    warning=Limit(0.02, "Digits: 0.96 at 1, 0.91 at 0.1, 0.64 at 0.01. Zoo: lowest RMS 0.15."),
    error=Limit(2e-3, "Digits: 0.09, chance, at 1e-3 (ReLU); 0.20 with tanh."),
)
OFFSET = Quantity(
    "RMS of the mean over the samples, over the standard deviation between samples",
    warning=Limit(
        10.0,
        "Digits, ReLU and tanh: 0.93 and 0.95 at 3, 0.71 and 0.85 at 10. Pixels of photographs: 1 to 3. Zoo: "
        "highest 1.8.",
    ),
    error=Limit(30.0, "Digits: 0.17 and 0.46 at 30, 0.12 and 0.25 at 100; chance is 0.10."),
)
GATE_LEVEL = Limit(
    5.0,
    "RMS of what a gate reads: a sigmoid's slope there is below 3 % of its largest, a tanh's below 1 %.",
)
DROWNED = Limit(
    0.05,
    "Variance between samples over mean square behind the first weight. Digits: 0.4 at an RMS of 0.1, 6e-3 at 0.01.",
)


@rule("DAT601", "warning", explains=("FWD206",))
def input_scale(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Measures the numbers that the first weights multiply, behind any fixed rescaling in the model: their RMS, their
    standard deviation between samples, and their offset, the RMS of the mean over the samples over that standard
    deviation. A first weight that only feeds a normalization is excused from the scale, and one that only feeds a batch
    normalization from the offset.

    ## Why is this bad?
    Inputs of 0 to 255 make outputs as large, saturate squashing activations, and scale the gradient of the first
    weight. Where all samples share a large offset, the network sees the offset and hardly the samples: on digits, 300
    steps of Adam reach an accuracy of 0.95 without, 0.71 at an offset of 10, and chance at 100. Small inputs drown in
    the biases.

    ## Known problems
    Large inputs are a warning only where harm is measured: the loss of the rescaled example is less than half,
    squashing activations behind the first weight are saturated, or the step of plain SGD in it exceeds its norm.
    Otherwise they are a note above 30, and nothing below.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    x = 255 * torch.rand(64, 8)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    x = torch.rand(64, 8)
    ```

    ## References
    LeCun, Bottou, Orr, Müller, *Efficient BackProp*, 1998, section 4.3: "Normalizing the Inputs".
    """
    told: set[str] = set()
    for entrance in entrances(evidence):
        if entrance.source in told:
            continue
        for read in (*_offset(evidence, entrance), *_size(evidence, entrance)):
            yield read
            if isinstance(read, Found):
                told.add(entrance.source)
                break


def _offset(evidence: Evidence, entrance: Entrance) -> Iterator[Found | Value]:
    moments = entrance.moments
    if entrance.centred or moments.variance_between != moments.variance_between or moments.variance_between == 0:
        return
    value = OFFSET(entrance.offset, entrance.source)
    if not value.number > OFFSET.warning or (evidence.tape.batch or 0) < _FEW:
        yield value
        return
    deviation = moments.variance_between**0.5
    yield Found(
        "error" if entrance.offset > OFFSET.error else "warning",
        entrance.source,
        measured=f"samples differ by a standard deviation of {deviation:.3g} around a common part of RMS "
        f"{entrance.offset * deviation:.3g}, {entrance.offset:.3g} times as large (mean {moments.mean:.3g})",
        expected=f"an offset below {OFFSET.warning:.0f} standard deviations",
        message="the first weight sees what all samples share, and hardly what tells them apart",
        fix=Fix(
            "subtract the training set's mean and divide by its standard deviation, column by column",
            repair=standard_inputs,
        ),
        value=value,
    )


def _size(evidence: Evidence, entrance: Entrance) -> Iterator[Found | Value]:
    moments = entrance.moments
    deviation = moments.variance_between**0.5 if moments.variance_between == moments.variance_between else moments.rms
    if entrance.normalized:
        return
    large, low = INPUT(moments.rms, entrance.source), INPUT_SMALL(moments.rms, entrance.source)
    if moments.rms > INPUT.note:
        severity, why = _harm(evidence, entrance)
        if not why and moments.rms <= INPUT.warning:
            yield large
            return
        yield Found(
            severity,
            entrance.source,
            measured=f"numbers from {moments.minimum:.3g} to {moments.maximum:.3g}, RMS {moments.rms:.3g}{why}",
            expected=f"an RMS of about 1, at most {INPUT.warning:.0f}",
            message="the first weight is made for inputs of size 1; all behind it is as many times too large",
            fix=Fix(_scaled(moments.minimum, moments.maximum), repair=standard_inputs),
            value=large,
        )
    elif 0 < moments.rms < INPUT_SMALL.warning and deviation > 0 and (left := _left(evidence, entrance)) < DROWNED:
        yield Found(
            "error" if moments.rms < INPUT_SMALL.error else "warning",
            entrance.source,
            measured=f"numbers from {moments.minimum:.3g} to {moments.maximum:.3g}, RMS {moments.rms:.3g}; "
            f"they make up {left:.2g} of the mean square behind the first weight and bias",
            expected=f"an RMS of about 1, at least {INPUT_SMALL.warning:g}",
            message="the input drowns in the biases, and the gradient of the first weight is as many times too small",
            fix=Fix(
                "divide by the training set's standard deviation; look for a division by 255 that is made twice",
                repair=standard_inputs,
            ),
            value=low,
        )
    else:
        yield from (large, low)


def _left(evidence: Evidence, entrance: Entrance) -> float:
    """The part of the first weight's output that differs between samples; the rest is bias."""
    given = evidence.tape.sites[entrance.site].forward
    if given is None or not given.mean_square > 0 or given.variance_between != given.variance_between:
        return 1.0
    return given.variance_between / given.mean_square


_FEW = 8


def _scaled(low: float, high: float) -> str:
    pixels = low >= 0 and 128 < high <= 255
    return "divide the pixels by 255, or standardize them" if pixels else "standardize the columns of the input"


def _harm(evidence: Evidence, entrance: Entrance) -> tuple[Severity, str]:
    """Whether a rescaled example is better off, and what was measured."""
    if evidence.recurrent(entrance.site) and (level := _gate_level(evidence, entrance)) > GATE_LEVEL:
        return "warning", f"; they make inputs of size {level:.3g} for the gates, which are flat beyond 5"
    ratio = _plain_step(evidence, entrance.site)
    if ratio > PLAIN_STEP.warning >= ratio / entrance.moments.rms:
        return "warning", f"; one step of SGD changes the first weight by {ratio:.2g} times its norm"
    saturated = _saturation(evidence, entrance.site)
    if saturated > SATURATED.warning:
        return "warning", f"; {saturated:.0%} of the entries of the next activation are saturated"
    try:
        before = heard_loss(evidence).loss
        guess = sum(c.guess for c in comparisons(evidence))
    except NotMeasured:
        return "note", ""
    if before is None or not before > LOSS.note * guess:
        return "note", ""
    size = entrance.moments.rms

    def shrink(tensor: Tensor) -> Tensor:
        return tensor / size if tensor.is_floating_point() and float(tensor.abs().max()) > size / 4 else tensor

    example = map_tensors(evidence.example, shrink)
    after = listen(evidence.model, example, target=evidence.target, loss=evidence.loss, seed=evidence.seed).loss
    if after is None or not after < before / LOSS.note:
        return "note", ""
    harmed = size > INPUT.warning or harm(evidence, "OUT501") is not None
    return (
        "warning" if harmed else "note",
        f"; the loss is {before:.3g}, and {after:.3g} when they are divided by {size:.3g}",
    )


def _gate_level(evidence: Evidence, entrance: Entrance) -> float:
    """RMS of what a recurrent layer's gates read of the input, if its entries are uncorrelated."""
    names = [w.name for w in evidence.weights if entrance.site in w.sites and "weight_ih" in w.name.split(".")[-1]]
    weights = [evidence.model.get_parameter(name) for name in names[:1]]
    rows = [w.detach().float().square().sum(1).mean().sqrt() for w in weights]
    return entrance.moments.rms * float(rows[0]) if rows else 0.0


def _plain_step(evidence: Evidence, index: int) -> float:
    """Relative step of plain SGD in the weight of one site; 0 without plain SGD."""
    return max((ratio for ratio, weight in plain_steps(evidence) if index in weight.sites), default=0.0)


def _saturation(evidence: Evidence, index: int) -> float:
    """The share of saturated entries in the squashing activation behind a site; 0 where there is none."""
    found = [evidence.tape.sites[fate.site].forward for fate in evidence.graph.fates(index)]
    return max((m.saturated for m in found if m is not None and m.saturated == m.saturated), default=0.0)


COLUMNS = Quantity(
    "largest over median standard deviation of the input's columns",
    warning=Limit(
        50.0,
        "Digits with 1, 4, 16 of 64 columns scaled: 0.95, 0.93, 0.91 by 10; 0.94, 0.85, 0.85 by 30; 0.85, 0.65, "
        "0.81 by 100; 0.23, 0.55, 0.79 by 1000. Zoo: highest 6 (digits on black).",
    ),
    error=Limit(500.0, "Between 100 and 1000 with one column scaled."),
)


@rule("DAT602", "warning", explains=("DAT601",))
def column_scale(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the standard deviations of the columns (features) that a first fully connected or recurrent layer reads:
    the largest over the median. Constant columns do not count, and a batch normalization at the entrance excuses.

    ## Why is this bad?
    The weights start alike for all columns, so one column in thousands drowns those in units: on digits with one of 64
    columns scaled by 100, 300 steps of Adam reach an accuracy of 0.85 instead of 0.96, and 0.23 by 1000.

    ## Known problems
    A column that is large on purpose is reported, too. Layer normalization does not help: it divides by the large one.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))
    x = torch.randn(64, 4) * torch.tensor([1.0, 0.1, 10.0, 20000.0])
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4))
    x = torch.randn(64, 4)
    ```

    ## References
    LeCun, Bottou, Orr, Müller, *Efficient BackProp*, 1998, section 4.3.
    """
    seen = False
    for entrance in entrances(evidence):
        values = entrance.values
        if values is None or entrance.centred or values.dim() not in (2, 3) or values.shape[0] < _FEW:
            continue
        if entrance.feature_axis != -1 or values.shape[-1] < 2 or values.shape[0] != evidence.tape.batch:
            continue
        seen = True
        rows = values.detach().reshape(-1, values.shape[-1]).double()
        deviation = rows.std(0, correction=0)
        varied = deviation[deviation > 1e-12 * rows.abs().amax(0).clamp(min=1e-30)]
        if len(rows) < CONSTANT_SAMPLES or len(varied) < 2:
            continue
        largest, median = float(varied.max()), float(varied.median())
        value = COLUMNS(largest / median, entrance.source)
        if not value.number > COLUMNS.warning:
            yield value
            continue
        column = int(deviation.argmax())
        yield Found(
            "error" if largest > COLUMNS.error * median else "warning",
            entrance.source,
            measured=f"column {column} has a standard deviation of {largest:.3g}, the median column {median:.3g}: "
            f"{largest / median:.3g} times",
            expected=f"columns of similar scale, within a factor of {COLUMNS.warning:.0f}",
            message="the first layer sees the largest columns only, since its weights start alike for all",
            fix=Fix(
                "standardize every column: (x - x.mean(0)) / x.std(0), with the training set's numbers",
                repair=standard_inputs,
            ),
            value=value,
        )
        return
    if not seen:
        raise NotMeasured("no fully connected or recurrent layer reads columns of the input")
