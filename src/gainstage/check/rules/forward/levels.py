"""Rules about the level of the signal on its way from the input to the output."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence, finite
from gainstage.check.facts.later import ratio_later
from gainstage.check.findings import Found
from gainstage.check.thresholds import (
    COLLAPSE_ERROR,
    COLLAPSE_WARNING,
    EXPLOSION_ERROR,
    EXPLOSION_WARNING,
    VANISHING_ERROR,
    VANISHING_WARNING,
)
from gainstage.signal import Moments

_ALL = "start all weights anew: gs.initialize(model, example)"


@rule(
    "FWD201", "collapsed-samples", "error", explains=("FWD202", "FWD204", "FWD205", "BWD301", "BWD303", "OPT805", "TRN")
)
def collapse(evidence: Evidence) -> Iterator[Found]:
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
        return moments.mean_square > 0 and moments.variance_between < COLLAPSE_WARNING * given * moments.mean_square

    if not all(collapsed(evidence.forward(end)) for end in ends):
        return
    end = max(ends, key=lambda i: _ratio(evidence.forward(i)))
    if evidence.once(ratio_later) > COLLAPSE_WARNING * given:
        return  # branches that start small, as with LayerScale of 1e-5, tell the samples apart two steps later
    origin, ratio = evidence.origin(end, collapsed), _ratio(evidence.forward(end))
    yield Found(
        "error" if ratio < COLLAPSE_ERROR * given else "warning",
        evidence.tape.sites[origin].name,
        measured=f"between samples varies {_ratio(evidence.forward(origin)):.1e} of the mean square here, "
        f"{ratio:.1e} at the output",
        expected=f"above {COLLAPSE_WARNING * given:.0e}; {given:.2g} at the input",
        message=f"from layer {evidence.depth[origin]} of {evidence.depth[end]} on all samples look alike: "
        "the weights are too small to carry their differences, and the biases drown them",
        fix=evidence.fix(_ALL),
    )


def _ratio(moments: Moments) -> float:
    return moments.variance_between / moments.mean_square if moments.mean_square else 0.0


@rule("FWD202", "vanishing-signal", "error", explains=("BWD301", "BWD303", "BWD305", "OPT805", "OPT811", "TRN"))
def vanishing(evidence: Evidence) -> Iterator[Found]:
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
        return moments.variance_between < VANISHING_WARNING * variance

    if not all(vanished(evidence.forward(end)) for end in ends):
        return
    end = max(ends, key=lambda i: evidence.forward(i).variance_between)
    origin, level = evidence.origin(end, vanished), evidence.forward(end).variance_between / variance
    here = evidence.forward(origin).variance_between / variance
    if here == 0:
        return  # cut off at once, by zero weights or dead units, and not shrunk until it underflows
    factor = (level or here) ** (0.5 / max(evidence.depth[end if level else origin], 1))
    yield Found(
        "error" if level < VANISHING_ERROR else "warning",
        evidence.tape.sites[origin].name,
        measured=f"variance between samples falls to {level:.1e} of the input's before the output head",
        expected=f"above {VANISHING_WARNING:.0e}",
        message=f"over {evidence.depth[end]} layers the signal shrinks by {factor:.2g} a layer: "
        "the weights are too small for their fan-in",
        fix=evidence.fix(_ALL),
    )


@rule(
    "FWD203",
    "exploding-signal",
    "warning",
    explains=("FWD205", "FWD208", "BWD301", "BWD302", "OUT501", "OPT804", "OPT806", "OPT815", "TRN"),
)
def explosion(evidence: Evidence) -> Iterator[Found]:
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
        return finite(moments.mean_square) and moments.rms > EXPLOSION_WARNING * base

    ends = [head for head in evidence.heads if exploded(evidence.forward(head))]
    if not ends:
        return
    end = max(ends, key=lambda i: evidence.forward(i).mean_square)
    origin, rms = evidence.origin(end, exploded), evidence.forward(end).rms
    yield Found(
        "error" if rms > EXPLOSION_ERROR * base else "warning",
        evidence.tape.sites[origin].name,
        measured=f"RMS {evidence.forward(origin).rms:.3g} here, {rms:.3g} at the output head",
        expected=f"below {EXPLOSION_WARNING * base:.3g}; {base:.2g} at the input",
        message=f"over {evidence.depth[end]} layers the signal grows by "
        f"{(rms / base) ** (1 / max(evidence.depth[end], 1)):.2g} a layer: the weights are too large for their fan-in",
        fix=evidence.fix(_ALL),
    )
