"""Rules about the level of the signal on its way from the input to the output."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence, finite
from gainstage.check.facts.later import ratio_later
from gainstage.check.facts.limits import COLLAPSE
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Moments

_ALL = "start all weights anew: gs.initialize(model, example)"


@rule("FWD201", "error", explains=("FWD202", "TRN903"))
def collapsed_samples(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares the variance *between samples* with the mean square, $\mathrm{Var}_n[y_n] / \mathrm{E}[y^2]$, at the
    output, and finds the site from which on it is lost.

    ## Why is this bad?
    Where it is 0 every sample gives the same output: the network has lost its input, and no gradient can tell samples
    apart. The level itself may look healthy, because biases keep it up.

    This is the correlation collapse of mean field theory: one minus the ratio is the mean cosine between two samples,
    weighted by their norms, so 1e-7 means an angle below a thousandth.

    ## Known problems
    Dropout is off during the measurement; other noise (stochastic depth, sampling) hides a collapse. Where samples
    differ at the output after two virtual training steps (a LayerScale of 1e-5 has grown by then), nothing is said.

    ## Example
    ```python
    layers = [layer for _ in range(30) for layer in (nn.Linear(8, 8), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(8, 4))
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(30) for layer in (nn.Linear(8, 8), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(8, 4))
    gs.initialize(model, x)
    ```

    ## References
    Schoenholz et al., *Deep Information Propagation*, ICLR 2017.
    """
    ends = [evidence.before_zero_heads(index) for index in evidence.varied_outputs()]
    variance, mean_square = evidence.input_level
    given = min(1.0, variance / mean_square)

    def collapsed(moments: Moments) -> bool:
        return moments.mean_square > 0 and moments.variance_between < COLLAPSE.warning * given * moments.mean_square

    end = max(ends, key=lambda i: _ratio(evidence.forward(i)))
    ratio = _ratio(evidence.forward(end))
    value = COLLAPSE(ratio / given, evidence.tape.sites[end].name)
    if not all(collapsed(evidence.forward(end)) for end in ends):
        yield value
        return
    enough = (
        min(COLLAPSE.warning * given, GROWS * ratio) if ratio > COLLAPSE.error * given else COLLAPSE.warning * given
    )
    if ratio_later(evidence) > enough:
        yield value  # what starts small, LayerScale of 1e-5 or tables of 1e-4, tells the samples apart two steps later
        return
    origin = evidence.origin(end, collapsed)
    read = [_ratio(evidence.forward(feed)) for feed in evidence.feeds(origin)[:1]] if origin in evidence.heads else []
    if ratio > COLLAPSE.error * given and read and read[0] > APART * given:
        yield value  # the head's own bias is far from 0, as that of a detector is
        return
    yield Found(
        "error" if ratio < COLLAPSE.error * given else "warning",
        evidence.tape.sites[origin].name,
        measured=f"between samples varies {_ratio(evidence.forward(origin)):.1e} of the mean square here, "
        f"{ratio:.1e} at the output",
        expected=f"above {COLLAPSE.warning * given:.0e}; {given:.2g} at the input",
        message=f"from layer {evidence.depth[origin]} of {evidence.depth[end]} on all samples look alike: "
        "the weights are too small to carry their differences, and the biases drown them",
        fix=evidence.fix(_ALL),
        value=value,
    )


GROWS = Limit(30.0, "Two steps multiply it by 1 to 4 in plain networks, by 100 and more in tables of 1e-4.")
APART = Limit(1e-2, "Of the mean square varies between samples in the middle of healthy networks, and more.")


def _ratio(moments: Moments) -> float:
    return moments.variance_between / moments.mean_square if moments.mean_square else 0.0


VANISHING = Quantity(
    "variance between samples before the output head, over that of the model's input (or 1 if that is larger)",
    warning=Limit(
        1e-10,
        "Digits: 0.95 to 0.97 at 8e-4, 0.94 at 2e-6, 0.52 to 0.68 at 3e-9, 0.28 to 0.66 at 7e-12 (ReLU, 10 layers, "
        "He times 0.7, 0.5, 0.35, 0.25). Zoo: lowest 4e-7 (SEW), besides LayerScale.",
    ),
    error=Limit(1e-14, "Digits: 0.20 at 7e-16 (ReLU, 10 layers, He times 0.15)."),
)


@rule("FWD202", "error", explains=("BWD301", "BWD303"))
def vanishing_signal(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the variance between samples at the input of the output head with that of the model's input.

    ## Why is this bad?
    A level lost over many layers does not come back in a few steps: each layer's gradient is proportional to the
    weights of all others, so all gradients are tiny together, and ratios between layers do not show it.

    ## Known problems
    A small output head, a small scale before a normalization and small or zero branches are harmless and not reported.

    ## Example
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64, bias=False), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64, bias=False), *layers, nn.Linear(64, 4, bias=False))
    for p in model.parameters():
        nn.init.uniform_(p, -0.02, 0.02)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64, bias=False), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64, bias=False), *layers, nn.Linear(64, 4, bias=False))
    gs.initialize(model, x)
    ```

    ## References
    He et al., *Delving Deep into Rectifiers*, ICCV 2015.
    """
    evidence.varied_outputs()
    variance = min(1.0, evidence.input_level[0])
    ends = [feeds[0] for head in evidence.heads if (feeds := evidence.feeds(head))]
    if not ends:
        raise NotMeasured("no weight stands before the output")

    def vanished(moments: Moments) -> bool:
        return moments.variance_between < VANISHING.warning * variance

    end = max(ends, key=lambda i: evidence.forward(i).variance_between)
    level = evidence.forward(end).variance_between / variance
    if not all(vanished(evidence.forward(end)) for end in ends):
        yield VANISHING(level, evidence.tape.sites[end].name)
        return
    origin = evidence.origin(end, vanished)
    here = evidence.forward(origin).variance_between / variance
    if here == 0:
        return  # cut off at once, by zero weights or dead units, and not shrunk until it underflows
    factor = (level or here) ** (0.5 / max(evidence.depth[end if level else origin], 1))
    yield Found(
        "error" if level < VANISHING.error else "warning",
        evidence.tape.sites[origin].name,
        measured=f"variance between samples falls to {level:.1e} of the input's before the output head",
        expected=f"above {VANISHING.warning:.0e}",
        message=f"over {evidence.depth[end]} layers the signal shrinks by {factor:.2g} a layer: "
        "the weights are too small for their fan-in",
        fix=evidence.fix(_ALL),
        value=VANISHING(level),
    )


EXPLOSION = Quantity(
    "RMS at the output head over that of the input (or 1 if that is larger)",
    warning=Limit(
        100.0,
        "Digits: 0.73 at 200, 0.63 to 0.69 at 4,000 (ReLU, 10 layers, He times 1.5 and 2). Zoo: highest 5 (a "
        "pyramid of features), then 2.",
    ),
    error=Limit(
        1e6,
        "A loss and a gradient of this size: one step of plain SGD at learning rate 1e-3 changes the output by far "
        "more than its own level, and float16 has overflowed (65504).",
    ),
)


@rule("FWD203", "warning", explains=("FWD205", "FWD208", "OPT804", "OPT815", "OUT501"))
def exploding_signal(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the RMS of the output head with that of the input (or with 1, if that is larger).

    ## Why is this bad?
    Outputs in the hundreds make a loss and gradients in the hundreds: the first steps are spent on shrinking them, or
    end in infinity.

    ## Known problems
    Only the output is judged: a large level that a normalization takes away again does no harm.

    ## Example
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    He et al., *Delving Deep into Rectifiers*, ICCV 2015.
    """
    evidence.measured()
    if not evidence.heads:
        raise NotMeasured("no weight stands before the output")
    base = max(1.0, evidence.input_level[1]) ** 0.5

    def exploded(moments: Moments) -> bool:
        return finite(moments.mean_square) and moments.rms > EXPLOSION.warning * base

    ends = [head for head in evidence.heads if exploded(evidence.forward(head))]
    if not ends:
        yield EXPLOSION(max(evidence.forward(head).rms for head in evidence.heads) / base)
        return
    end = max(ends, key=lambda i: evidence.forward(i).mean_square)
    origin, rms = evidence.origin(end, exploded), evidence.forward(end).rms
    yield Found(
        "error" if rms > EXPLOSION.error * base else "warning",
        evidence.tape.sites[origin].name,
        measured=f"RMS {evidence.forward(origin).rms:.3g} here, {rms:.3g} at the output head",
        expected=f"below {EXPLOSION.warning * base:.3g}; {base:.2g} at the input",
        message=f"over {evidence.depth[end]} layers the signal grows by "
        f"{(rms / base) ** (1 / max(evidence.depth[end], 1)):.2g} a layer: the weights are too large for their fan-in",
        fix=evidence.fix(_ALL),
        value=EXPLOSION(rms / base),
    )
