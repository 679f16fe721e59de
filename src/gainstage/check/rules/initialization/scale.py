"""Rules about the scale of weights, where signal, gradient or loss show that it is wrong."""

from collections.abc import Iterator, Sequence
from math import log, sqrt

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.scale import Scale, laws_of, scales, stored_fans
from gainstage.check.facts.symptoms import harm, severity
from gainstage.check.findings import Finding, Found, Value
from gainstage.check.quantity import Limit, Quantity

_SMALL = ("FWD201", "FWD202", "BWD301")
_LARGE = ("FWD203", "FWD205", "FWD206", "BWD302")


SCALE_SMALL = Quantity(
    "standard deviation of a weight that every path leads through, over gain / sqrt(fan_in)",
    error=Limit(
        0.3,
        "Torch's default gives 0.31 (sigmoid) to 0.58 (linear), 0.41 behind ReLU. Lower ones alone say nothing. "
        "Zoo: lowest 0.05 (SIREN), 0.09 (weights of 0.02).",
    ),
)


@rule("INI104", "error", explains=("FWD204",))
def small_weights(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Where the signal collapses or vanishes, or the gradient does, looks for hidden weights whose standard deviation is a
    small part of $g / \sqrt{\text{fan\_in}}$, the one that keeps the signal's level behind an activation of gain g.

    ## Why is this bad?
    Each such layer shrinks the signal and the gradient by the ratio. A fixed 0.01 or 0.05, as in old tutorials, fits
    one width only.

    ## Known problems
    Small weights without measured harm are not reported: in shallow networks, in front of a normalization, at the end
    of a residual branch. torch's default is 0.41 of He's law for ReLU; where many such layers collapse the signal, that
    is `FWD201`.

    ## Example
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, std=0.01)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 64), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    He et al., *Delving Deep into Rectifiers*, ICCV 2015, section 2.2.
    """
    hidden = [scale for scale in _scales(evidence) if not scale.head]
    felt = harm(evidence, *_SMALL)
    judged = [scale for scale in hidden if _in_the_way(evidence, scale)]
    wrong = [scale for scale in judged if scale.ratio < SCALE_SMALL.error]
    lost = sum(-log(scale.ratio) for scale in hidden if scale.ratio < 1)
    if wrong and felt and sum(-log(scale.ratio) for scale in wrong) > lost / 2:
        worst = min(wrong, key=lambda s: s.ratio)
        yield _found(evidence, SCALE_SMALL(worst.ratio), worst, wrong, hidden, felt, "shrinks")
    else:
        yield from (SCALE_SMALL(scale.ratio, scale.weight.name) for scale in judged)


SCALE_LARGE = Quantity(
    "standard deviation of a weight over gain / sqrt(fan_in)",
    error=Limit(
        3.0,
        "A gain of 5/3 without activation gives 1.7, torch.randn 6 at width 64. Zoo: highest 3.2 (RegNet's squeeze,"
        " drawn by fan_out), then 1.5 (PVT).",
    ),
)


@rule("INI105", "error", explains=("FWD206",))
def large_weights(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Where the signal explodes or saturates, or the gradient explodes, looks for hidden weights whose standard deviation
    is several times $g / \sqrt{\text{fan\_in}}$, the one that keeps the signal's level behind an activation of gain g.

    ## Why is this bad?
    Each such layer magnifies the signal by the ratio, or drives the next tanh or sigmoid into its flat part.
    `torch.randn(a, b)` has a standard deviation of 1, whatever the fan-in.

    ## Known problems
    Large weights without measured harm are not reported. Output heads are left to `OUT501`.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 4))
    for p in model.parameters():
        nn.init.normal_(p)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 4))
    gs.initialize(model, x)
    ```

    ## References
    Glorot, Bengio, *Understanding the Difficulty of Training Deep Feedforward Neural Networks*, AISTATS 2010.
    """
    hidden = [scale for scale in _scales(evidence) if not scale.head]
    wrong = [scale for scale in hidden if scale.ratio > SCALE_LARGE.error]
    felt = harm(evidence, *_LARGE)
    grown = sum(log(scale.ratio) for scale in hidden if scale.ratio > 1)
    if wrong and felt and sum(log(scale.ratio) for scale in wrong) > grown / 2:
        worst = max(wrong, key=lambda s: s.ratio)
        yield _found(evidence, SCALE_LARGE(worst.ratio), worst, wrong, hidden, felt, "magnifies")
    else:
        yield from (SCALE_LARGE(scale.ratio, scale.weight.name) for scale in hidden)


def _in_the_way(evidence: Evidence, scale: Scale) -> bool:
    """Whether every path to the output leads through this weight; a small one in a residual branch loses nothing."""
    return evidence.cuts.issuperset(scale.weight.sites)


def _found(
    evidence: Evidence,
    value: Value,
    worst: Scale,
    wrong: Sequence[Scale],
    hidden: Sequence[Scale],
    felt: Finding,
    does: str,
) -> Found:
    into = f" behind {worst.reads}" if worst.reads else ""
    heads = [scale.weight.name for scale in scales(evidence) if scale.head]
    names = [scale.weight.name for scale in wrong] + (_large_ends(evidence) if worst.ratio > 1 else [])
    return Found(
        felt.severity,
        worst.weight.name,
        measured=f"standard deviation {worst.std:.3g}, {worst.ratio:.3g} times what its fan-in of "
        f"{worst.call.fans.fan_in:.4g} asks for{into}; {len(wrong)} of {len(hidden)} hidden weights are off",
        expected=f"about {worst.law:.3g}, within a factor 3",
        message=f"each such layer {does} the signal; so {felt.code} {felt.name}: {felt.measured}",
        fix=evidence.fix(
            "draw these weights by their fan-in: gs.initialize(model, example)",
            [*names, *(name.removesuffix("weight") + "bias" for name in names), *heads],
        ),
        value=value,
    )


def _large_ends(evidence: Evidence) -> list[str]:
    """The last weights of residual branches that are as far above their law: a small one is a choice."""
    found = []
    for site in {branch.last for branch in evidence.branches if branch.last is not None}:
        for weight in (w for w in evidence.weights if site in w.sites and site in evidence.graph.weights):
            std = weight.norm / sqrt(evidence.values[weight.name].numel())
            if std * sqrt(evidence.graph.weights[site].fans.fan_in) > float(SCALE_LARGE.error):
                found.append(weight.name)
    return found


FANS = Quantity(
    "standard deviation by the fans of the stored shape over that by the fans as used, or its inverse",
    note=Limit(2.0, "Below it, the usual laws differ as much."),
)
FAN_ENTRIES = Limit(
    256,
    "Entries of a weight whose law is to be recognized: their standard deviation is known to 4 %, at one sigma.",
)


@rule("INI106", "note", explains=("FWD201", "FWD203"))
def wrong_fan(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds weights that follow He's, Xavier's or LeCun's law exactly, but of other fans than those that they are used
    with: transposed convolutions, depthwise convolutions by fan_out, weights stored as (in, out).

    ## Why is this bad?
    `torch.nn.init` takes every tensor for (out, in, kernel...). A transposed convolution of 64 to 256 channels, kernel
    4, stride 2 then gives 0.06 of the variance that was meant, a weight for `x @ w` the root of its shape's ratio.

    ## Known problems
    A factor below 2 is not reported (packed queries, keys and values under Xavier's law: 1.4), nor a weight in front of
    a normalization. A note unless signal or gradient are harmed.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 512), nn.Linear(64, 4)
            self.second = nn.Parameter(torch.empty(512, 64))
            nn.init.kaiming_normal_(self.second)

        def forward(self, x):
            return self.last(torch.relu(torch.relu(self.first(x)) @ self.second))

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 512), nn.Linear(64, 4)
            self.second = nn.Parameter(torch.empty(512, 64))
            nn.init.kaiming_normal_(self.second.T)

        def forward(self, x):
            return self.last(torch.relu(torch.relu(self.first(x)) @ self.second))

    model = Model()
    ```

    ## References
    PyTorch documentation, `torch.nn.init.kaiming_normal_`, on fan_in and transposed weights.
    """
    for scale in _scales(evidence):
        shape = tuple(evidence.trainable[scale.weight.name].shape)
        number = evidence.trainable[scale.weight.name].numel()
        if number < FAN_ENTRIES or len(shape) < 2:
            continue
        slack = 0.005 + 3 / sqrt(2 * number)
        meant, taken = laws_of(scale.call.fans), laws_of(stored_fans(shape))
        if any(abs(scale.std / std - 1) < slack for law, std in meant.items() if law != "He of fan_out"):
            continue
        same = [law for law, std in taken.items() if abs(scale.std / std - 1) < slack and law != "torch's default"]
        factors = {law: taken[law] / meant[law] for law in same}
        off = {law: factor for law, factor in factors.items() if not 1 / FANS.note < factor < FANS.note}
        if not off:
            yield from (FANS(max(factor, 1 / factor), scale.weight.name) for factor in factors.values())
            continue
        law, factor = next(iter(off.items()))
        yield Found(
            severity(evidence, *_SMALL) if factor < 1 else severity(evidence, *_LARGE),
            scale.weight.name,
            measured=f"standard deviation {scale.std:.3g}: {law}'s law of fans {_pair(stored_fans(shape))}",
            expected=f"{meant[law]:.3g}, by its fans as it is used: {_pair(scale.call.fans)}",
            message=f"the fans were read off the stored shape: {factor:.2g} times the scale that was meant",
            fix=evidence.fix("gs.initialize(model, example) counts fans as they are used", [scale.weight.name]),
            value=FANS(max(factor, 1 / factor)),
        )


def _pair(fans: tuple[float, float]) -> str:
    return f"{fans[0]:.4g} in, {fans[1]:.4g} out"


def _scales(evidence: Evidence) -> list[Scale]:
    evidence.backward_measured()
    found = scales(evidence)
    if not found:
        raise NotMeasured("no trainable weight whose scale matters")
    return found
