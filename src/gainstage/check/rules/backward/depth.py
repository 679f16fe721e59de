"""Rules about the size of the gradient along the depth."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.later import gradient_norm_later
from gainstage.check.facts.limits import GRADIENT_DEPTH
from gainstage.check.facts.walk import fewest_weights
from gainstage.check.facts.weights import Weight
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

_ALL = "start all weights anew: gs.initialize(model, example)"
_NORMALIZED = (
    "add residual connections, or leave out normalizations: in front of one the scale of a weight does not matter, "
    "so no start repairs this"
)


VANISHING = Quantity(
    "gradient times weight over the first quarter of the depth, over that of the last quarter; the largest of each",
    warning=Limit(
        1e-3,
        "The product does not change when a weight is scaled and the change is undone elsewhere. Digits: 0.69 to "
        "0.93 at 2e-2 (ReLU, 10 layers, and GELU, 8), 0.20 at 5e-4 (tanh, 20), 0.36 to 0.43 at 4e-6 (ReLU, 20). "
        "Zoo: lowest 0.06 (masked autoencoder), besides LayerScale.",
    ),
    error=Limit(1e-7, "Digits: 0.10 to 0.11 = chance at 1e-8 (GELU, 20 layers) and 2e-8 (ReLU, 30)."),
)


@rule("BWD301", "error", explains=("BWD305", "OPT805"))
def vanishing_gradient(evidence: Evidence) -> Iterator[Found | Value]:
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
    early, late = _first_and_last(evidence)
    if not early.pull > 0 < late.pull:
        return
    ratio = early.pull / late.pull
    if ratio >= VANISHING.warning or _grows(evidence, early, late):
        yield VANISHING(ratio, early.name)
        return
    yield Found(
        "error" if ratio < VANISHING.error else "warning",
        early.name,
        measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: ratio {ratio:.1e}",
        expected=f"a ratio above {VANISHING.warning:.0e}",
        message="every layer on the way back shrinks the gradient, so the first layers hardly learn",
        fix=evidence.fix(_ALL),
        value=VANISHING(ratio),
    )


def _grows(evidence: Evidence, early: Weight, late: Weight) -> bool:
    """Whether branches that start small pass a gradient two steps later."""
    grown = gradient_norm_later(evidence, early.name) * early.norm
    return grown > VANISHING.warning * gradient_norm_later(evidence, late.name) * late.norm


EXPLODING = Quantity(
    "gradient times weight over the first quarter of the depth, over that of the last, over the room of short paths",
    warning=Limit(
        50.0,
        "Digits: 0.92 to 0.95 at 3, 0.82 at 11, 0.21 to 0.25 at 120 (orthogonal tanh, gain 2 and 3, 10 to 20 "
        "layers). Zoo: highest 5 (DCGAN's generator), then 4 (a reversed gradient).",
    ),
    error=Limit(1e3, "Digits: 0.11 at 3,000 (orthogonal tanh, gain 5, 20 layers); chance is 0.10."),
)
SHORTCUT = Limit(
    200.0,
    "The room of a network whose shortest path leads past all weights: it keeps a usable gradient. Digits, "
    "enlarged, 150 steps: bottleneck ResNets with batch normalization reach 0.85, 0.74 and 0.68 at ratios of 56, "
    "210 and 430 (50, 101, 152 layers), where a plain network fails. Inception v4 (timm) has 281 at its default "
    "start. Zoo: highest 81 (ResNet-50).",
)


@rule("BWD302", "warning", explains=("BWD305", "OPT804"))
def exploding_gradient(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    The same comparison as `BWD301`, from the other side: $\lVert g \rVert \lVert W \rVert$ near the input is far
    larger than near the output.

    ## Why is this bad?
    No learning rate fits all layers: one that moves the last layers throws the first ones about. In tanh networks the
    usual reason is a chaotic start, where close inputs are torn apart layer by layer; deep plain networks with batch
    normalization magnify the gradient by about 1.2 a layer, whatever the weights.

    ## Known problems
    Models of fewer than 4 weights in a row are not judged. A path that leads past weights keeps a usable gradient, so
    the limits are wider, by 200 to the power of 1 - s / l where the shortest path to the output leads through s of the
    l weights in a row behind.

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
    late, early = _first_and_last(evidence, from_the_end=True)
    if not early.pull > 0 < late.pull:
        return
    ratio, room = early.pull / late.pull, _room(evidence, early)
    value = EXPLODING(ratio / room, early.name)
    if value.number <= EXPLODING.warning:
        yield value
        return
    yield Found(
        "error" if value.number > EXPLODING.error else "warning",
        early.name,
        measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: ratio {ratio:.3g}",
        expected=f"a ratio below {room * EXPLODING.warning:,.0f}",
        message="every layer on the way back magnifies the gradient, so no learning rate fits all layers",
        fix=evidence.fix(_NORMALIZED, []) if evidence.graph.norm_calls else evidence.fix(_ALL),
        value=value,
    )


def _room(evidence: Evidence, weight: Weight) -> float:
    """How many times wider the limits are where a path leads from this weight past those behind it."""
    behind = max(evidence.depth) - min(evidence.depth[site] for site in weight.sites)
    return float(SHORTCUT ** max(0.0, 1 - fewest_weights(evidence, weight.sites) / behind))


def _first_and_last(evidence: Evidence, *, from_the_end: bool = False) -> tuple[Weight, Weight]:
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
