"""Rules about the size of the gradient along the depth."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.later import gradient_norm_later
from gainstage.check.facts.weights import Weight
from gainstage.check.findings import Found
from gainstage.check.thresholds import (
    GRADIENT_DEPTH,
    GRADIENT_EXPLODING_ERROR,
    GRADIENT_EXPLODING_WARNING,
    GRADIENT_RESIDUAL_SLACK,
    GRADIENT_VANISHING_ERROR,
    GRADIENT_VANISHING_WARNING,
)

_ALL = "start all weights anew: gs.initialize(model, example)"
_NORMALIZED = (
    "add residual connections, or leave out normalizations: in front of one the scale of a weight does not matter, "
    "so no start repairs this"
)


@rule("BWD301", "vanishing-gradient", "error", explains=("BWD305", "OPT805", "TRN"))
def vanishing(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Compares $\lVert g \rVert \lVert W \rVert$, the effect of a relative change of a weight on the loss, between the
    first quarter and the last quarter of the depth; the largest of each counts.

    ## Why is this bad?
    Weights near the input whose effect is 10,000 times smaller stay at their random start while the last ones learn.

    ## Known problems
    Zero or tiny branches (LayerScale, ReZero) do not matter: the stem counts, and what passes a gradient after two
    virtual training steps is not reported. Models of fewer than 4 weights in a row
    are not judged.

    ## Example
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Sigmoid(), *layers, nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Bengio, Simard, Frasconi, *Learning Long-Term Dependencies with Gradient Descent is Difficult*, 1994.
    """
    early, late = first_and_last(evidence)
    if 0 < early.pull < GRADIENT_VANISHING_WARNING * late.pull:
        grown = gradient_norm_later(evidence, early.name) * early.norm
        if grown > GRADIENT_VANISHING_WARNING * gradient_norm_later(evidence, late.name) * late.norm:
            return  # branches that start small pass a gradient two steps later
        ratio = early.pull / late.pull
        yield Found(
            "error" if ratio < GRADIENT_VANISHING_ERROR else "warning",
            early.name,
            measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: "
            f"ratio {ratio:.1e}",
            expected=f"a ratio above {GRADIENT_VANISHING_WARNING:.0e}",
            message="every layer on the way back shrinks the gradient, so the first layers hardly learn",
            fix=evidence.fix(_ALL),
        )


@rule("BWD302", "exploding-gradient", "warning", explains=("BWD305", "OPT804", "OPT806", "TRN"))
def exploding(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    The same comparison as `BWD301`, from the other side: $\lVert g \rVert \lVert W \rVert$ near the input is far
    larger than near the output.

    ## Why is this bad?
    No learning rate fits all layers: one that moves the last layers throws the first ones about. In tanh networks the
    usual reason is a chaotic start, where close inputs are torn apart layer by layer; deep plain networks with batch
    normalization magnify the gradient by about 1.2 a layer, whatever the weights.

    ## Known problems
    Models of fewer than 4 weights in a row are not judged. Networks with residual branches or concatenated paths are
    given 200 times as much room: their short paths keep a usable gradient.

    ## Example
    ```python
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Poole et al., *Exponential Expressivity in Deep Neural Networks through Transient Chaos*, NeurIPS 2016; Yang et
    al., *A Mean Field Theory of Batch Normalization*, ICLR 2019.
    """
    late, early = first_and_last(evidence, from_the_end=True)
    short_paths = bool(evidence.branches) or any(site.op in ("cat", "concat") for site in evidence.tape)
    slack = GRADIENT_RESIDUAL_SLACK if short_paths else 1.0
    if late.pull > 0 and early.pull > slack * GRADIENT_EXPLODING_WARNING * late.pull:
        ratio = early.pull / late.pull
        yield Found(
            "error" if ratio > slack * GRADIENT_EXPLODING_ERROR else "warning",
            early.name,
            measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: "
            f"ratio {ratio:.3g}",
            expected=f"a ratio below {slack * GRADIENT_EXPLODING_WARNING:,.0f}",
            message="every layer on the way back magnifies the gradient, so no learning rate fits all layers",
            fix=evidence.fix(_NORMALIZED, []) if evidence.graph.norm_calls else evidence.fix(_ALL),
        )


def first_and_last(evidence: Evidence, *, from_the_end: bool = False) -> tuple[Weight, Weight]:
    """The weights of the largest pull at the near and at the far end of the depth: first and last quarter, or back.

    A weight that is used at several depths (a tied embedding and head) counts for the near end only, whose pull is then
    over- rather than underestimated.
    """
    evidence.backward_measured()
    trained = [w for w in evidence.weights if w.name in evidence.gradients]
    depths = {w: [evidence.depth[site] for site in w.sites] for w in trained}
    if len({min(depths[w]) for w in trained}) < GRADIENT_DEPTH:
        raise NotMeasured(f"fewer than {GRADIENT_DEPTH:.0f} trainable weights in a row")
    low, high = min(map(min, depths.values())), max(map(max, depths.values()))
    place = {w: [(d - low) / (high - low) for d in depths[w]] for w in trained}
    if from_the_end:
        place = {w: [1 - p for p in places] for w, places in place.items()}
    near = [w for w in trained if min(place[w]) <= 0.25]
    far = [w for w in trained if min(place[w]) >= 0.75]
    if not near or not far:
        raise NotMeasured("the first or the last weights are used at other depths, too")
    return max(near, key=lambda w: w.pull), max(far, key=lambda w: w.pull)
