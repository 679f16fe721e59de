"""Rules about units that do not respond: dead rectifiers, saturated tanh and sigmoid."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.dead_units import dead_units as counted
from gainstage.check.facts.limits import DEAD_SAMPLES, SATURATED
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Site, ops, weights_behind

_RECTIFIERS = frozenset(name for name in ops.names("activation") if ops.named(name).rectifies)
_CLAMPS = frozenset({"clamp", "clamp_min", "clip", "maximum"})  # a ReLU where they end at 0
_SQUASHES = frozenset(name for name in ops.names("activation") if ops.named(name).flat)
_SQUASHES -= {"hardtanh"}  # nn.ReLU6 calls it with other limits


DEAD = Quantity(
    "share of a ReLU's units that are 0 for every sample and position",
    warning=Limit(
        0.8,
        "Correlated samples switch off many units of deep ReLU networks that do train: digits (He), 0.87 to 0.90 at"
        " 0.36 (30 layers), 0.60 to 0.67 at 0.53 (50). Zoo: highest 0.56 (autoencoder).",
    ),
)
DEAD_UNITS = Limit(
    32,
    "Of fewer units many may be dead by chance: where each is with probability 1/2, 26 of 32 are with 3e-4.",
)
CLOSED = Limit(0.8, "Share of zeros; half of the entries behind weights around 0 are.")
UNDERFLOW = Limit(
    1e-30,
    "Mean square of a signal that is lost in float32, whose squares end at 1e-38. A ReLU behind it is 0 everywhere "
    "without any fault of its own: 50 layers of width 64 at standard deviation 0.01 multiply it by 1e-110.",
)


@rule(
    "FWD204",
    "error",
    explains=(
        "FWD212",
        "FWD201",
    ),
)
def dead_units(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the units of each ReLU, however it is written (`clamp(min=0)`, `maximum`), that are 0 for every sample and
    position of the example, and finds those that signs alone keep shut.

    ## Why is this bad?
    A unit that is never active gets no gradient and cannot come back. If a whole layer is dead and every path leads
    through it, the output is a constant and nothing before the layer learns.

    ## Known problems
    Zero *entries* are not counted: half of a healthy ReLU's entries are 0. Needs at least 32 samples times positions
    for a unit.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.constant_(model[0].bias, -20.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.zeros_(model[0].bias)
    ```

    ## References
    Lu, Shin, Su, Karniadakis, *Dying ReLU and Initialization*, 2020.
    """
    evidence.measured()
    judged = [
        site
        for site in evidence.tape
        if _rectifies(evidence, site) and _seen(evidence, site) >= DEAD_SAMPLES and not _starved(evidence, site)
    ]
    if not judged:
        raise NotMeasured(f"no ReLU whose units see at least {DEAD_SAMPLES:.0f} samples or positions")
    yield from _closed(evidence, judged)
    suspects = {s.name: _unit_axis(evidence, s) for s in judged if evidence.forward(s.index).zeros >= DEAD.warning}
    unmeasured = {n: axis for n, axis in suspects.items() if axis != unit_axis(evidence.tape[n])}
    looked = counted(evidence.model, evidence.example, unmeasured, evidence.seed) if unmeasured else {}
    for site in judged:
        moments = evidence.forward(site.index)
        if site.name not in suspects:
            if _unit_axis(evidence, site) == unit_axis(site):
                yield DEAD(moments.dead, site.name)
            continue
        units = site.shape[suspects[site.name]]
        number = looked[site.name] if site.name in looked else round(moments.dead * units)
        whole = number == units
        value = DEAD(number / units, site.name)
        if not whole and (number < DEAD.warning * units or units < DEAD_UNITS):
            yield value
            continue
        severity: Severity = "error" if whole and evidence.cut(site.index) else "warning"
        if whole and severity == "warning" and units < DEAD_UNITS:
            severity = "note"
        names = [w.name for w in evidence.weights if set(w.sites) & set(weights_behind(evidence.graph, site.index))]
        biases = [name.removesuffix("weight") + "bias" for name in names]
        yield Found(
            severity,
            site.name,
            measured=f"{number} of {units} units are 0 for all {moments.count // units} samples and positions",
            expected=f"below {DEAD.warning:.0%}",
            message="a unit that is never active gets no gradient"
            + (", and every path to the output leads through this dead layer" if severity == "error" else ""),
            fix=evidence.fix(
                "start the weight and bias before it anew: gs.initialize(model, example)", [*names, *biases]
            ),
            value=value,
        )


def _closed(evidence: Evidence, judged: list[Site]) -> Iterator[Found]:
    """Rectifiers behind a weight without positive entries that reads nothing negative: only biases open them."""
    facts = {site: weight for weight in evidence.weights for site in weight.sites}
    for site in judged:
        behind = weights_behind(evidence.graph, site.index)
        found = [(facts[i], evidence.feeds(i)) for i in behind if i in facts and evidence.feeds(i)]
        moments = evidence.forward(site.index)
        if len(found) != 1 or moments.zeros < CLOSED or moments.dead == 1:
            continue
        weight, feeds = found[0]
        if weight.constant or not weight.low < 0 >= weight.high or evidence.forward(feeds[0]).minimum < 0:
            continue
        yield Found(
            "warning",
            site.name,
            measured=f"{moments.zeros:.0%} of the entries are 0: no entry of {weight.name} is positive, and nothing "
            "that it reads is negative",
            expected="weights of both signs",
            message="sums of such products are never positive: only the biases open these units",
            fix=evidence.fix(f"draw {weight.name} around 0: gs.initialize(model, example)", [weight.name]),
            value=DEAD(moments.zeros),
        )


def _rectifies(evidence: Evidence, site: Site) -> bool:
    """A ReLU, or a clamp that shows by its values that it is one."""
    moments = site.forward
    if moments is None or not moments.count or not site.shape or site.index in evidence.graph.constant:
        return False
    return site.op in _RECTIFIERS or (site.op in _CLAMPS and moments.minimum == 0 and moments.zeros > 0)


def _starved(evidence: Evidence, site: Site) -> bool:
    """Whether the weights before it read a signal that has all but underflowed: then that is what is wrong."""
    behind = weights_behind(evidence.graph, site.index)
    levels = [evidence.forward(feed).mean_square for i in behind for feed in evidence.feeds(i)[:1]]
    return bool(levels) and max(levels) < UNDERFLOW


def _seen(evidence: Evidence, site: Site) -> int:
    """How many samples and positions each unit sees."""
    return evidence.forward(site.index).count // max(site.shape[_unit_axis(evidence, site)], 1)


def _unit_axis(evidence: Evidence, site: Site) -> int:
    """The axis of the units: the second where a convolution stands before it, else the last."""
    behind = (evidence.graph.weights[i] for i in weights_behind(evidence.graph, site.index))
    return 1 if len(site.shape) >= 4 or (len(site.shape) == 3 and any(w.family[:4] == "conv" for w in behind)) else -1


def unit_axis(site: Site) -> int | None:
    """The axis of the units that the moments of a site have counted; None where they have not."""
    if site.op not in _RECTIFIERS:
        return None
    return 1 if len(site.shape) >= 4 else -1


@rule("FWD205", "warning", explains=("FWD201",))
def saturated_units(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Measures the share of entries of hidden tanh and sigmoid sites that lie in the flat part of the curve: beyond
    ±0.99 of tanh, outside 0.01 to 0.99 of a sigmoid.

    ## Why is this bad?
    There the slope is below 2 % of its largest value: the gradient hardly passes.

    ## Known problems
    Gates (a sigmoid or tanh that multiplies another signal) and output activations may saturate and are not judged;
    the gates inside `nn.LSTM` and `nn.GRU` cannot be seen.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, std=5.0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Glorot, Bengio, *Understanding the Difficulty of Training Deep Feedforward Neural Networks*, AISTATS 2010.
    """
    evidence.measured()
    judged = [site for site in evidence.tape if _hidden_squash(evidence, site)]
    if not judged:
        raise NotMeasured("no hidden tanh or sigmoid")
    for site in judged:
        moments = evidence.forward(site.index)
        value = SATURATED(moments.saturated, site.name)
        if moments.saturated < SATURATED.warning:
            yield value
            continue
        severe = moments.saturated > SATURATED.error and evidence.cut(site.index)
        names = [w.name for w in evidence.weights if set(w.sites) & set(weights_behind(evidence.graph, site.index))]
        yield Found(
            "error" if severe else "warning",
            site.name,
            measured=f"{moments.saturated:.0%} of the entries are saturated",
            expected=f"below {SATURATED.warning:.0%}",
            message="the input of this activation is too large, and the gradient hardly passes its flat part",
            fix=evidence.fix(
                "scale the input to a standard deviation of 1 and start the weight before it anew: "
                "gs.initialize(model, example)",
                [*names, *(name.removesuffix("weight") + "bias" for name in names)],
            ),
            value=value,
        )


def _hidden_squash(evidence: Evidence, site: Site) -> bool:
    if (
        site.op not in _SQUASHES
        or site.forward is None
        or site.forward.saturated != site.forward.saturated
        or not site.forward.count
    ):
        return False
    fates = {fate.kind for fate in evidence.graph.fates(site.index)}
    return bool(fates & {"weight", "norm", "add"}) and not fates & {"gate", "output", "loss"}
