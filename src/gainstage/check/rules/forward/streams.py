"""Rules about residual streams."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Branch

GROWTH = Quantity(
    "mean square of a residual stream after its last branch over that after its first or middle one",
    warning=Limit(
        1e3,
        "Branches that add the same variance each, as in every pre-norm network, give 2, and 4 where they add fully"
        " correlated amounts; branches that double it give 2^(n/2). Zoo: highest 3. Of 88 architectures of timm at "
        "their default start: 304 (CoaT, whose blocks add three scales), 63 (XCiT).",
    ),
    error=Limit(1e8, "A branch is drowned in rounding (float32: 6e-8 of the RMS, bfloat16 far earlier)."),
)
GROWTH_BRANCHES = Limit(8, "Fewer branches show no law of growth.")


@rule("FWD207", "warning", explains=("FWD203",))
def stream_growth(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the mean square of a residual stream after its last branch with that after its middle branch.

    ## Why is this bad?
    Branches that each double the stream make it grow exponentially with depth: without a final normalization the
    output explodes, with one the last branches drown all others.

    ## Known problems
    Linear growth, where every branch adds the same variance, is what pre-norm networks do by design: it doubles the
    mean square from the middle to the end and is not reported. Streams of fewer than 8 branches are not judged.

    ## Example
    ```python
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(48))
            for block in self.blocks:
                nn.init.normal_(block.weight, std=8**-0.5)

        def forward(self, x):
            for block in self.blocks:
                x = x + block(x)
            return x

    model = Residual()
    ```

    ## Use instead
    ```python
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(8, 8) for _ in range(48))
            for block in self.blocks:
                nn.init.normal_(block.weight, std=(8 * 48) ** -0.5)

        def forward(self, x):
            for block in self.blocks:
                x = x + block(x)
            return x

    model = Residual()
    ```

    ## References
    Hanin, Rolnick, *How to Start Training*, NeurIPS 2018; Zhang, Dauphin, Ma, *Fixup Initialization*, ICLR 2019.
    """
    for stream, levels in _levels(evidence):
        first, middle, last = levels[0], levels[len(levels) // 2], levels[-1]
        if not max(first, middle) > 0:
            continue
        value = GROWTH(last / max(first, middle), evidence.tape.sites[stream[-1].add].name)
        if not value.number > GROWTH.warning:
            yield value
            continue
        names = [w.name for w in evidence.weights if set(w.sites) & {branch.last for branch in stream}]
        yield Found(
            "error" if last > GROWTH.error * first else "warning",
            evidence.tape.sites[stream[-1].add].name,
            measured=f"mean square {first:.2g} after the first of {len(stream)} branches, {middle:.2g} after the "
            f"middle, {last:.2g} after the last",
            expected=f"last over middle below {GROWTH.warning:.0f}; it is {last / middle:.3g}",
            message="the branches multiply the stream instead of adding to it: "
            f"by {(last / middle) ** (1 / (len(stream) - 1 - len(stream) // 2)):.2g} each",
            fix=evidence.fix(
                f"scale the last weight of each branch by {len(stream)}^-0.5 or start it at zero: "
                "gs.initialize(model, example)",
                names,
            ),
            value=value,
        )


def _levels(evidence: Evidence) -> list[tuple[list[Branch], list[float]]]:
    """Every long residual stream: its branches, and its mean square after each."""
    evidence.measured()
    streams: dict[int, list[Branch]] = {}
    for branch in evidence.branches:
        if evidence.tape.sites[branch.add].forward is not None:
            streams.setdefault(branch.stream, []).append(branch)
    long = [stream for stream in streams.values() if len(stream) >= GROWTH_BRANCHES]
    if not long:
        raise NotMeasured(f"no residual stream of at least {GROWTH_BRANCHES:.0f} branches")
    return [(stream, [evidence.forward(branch.add).mean_square for branch in stream]) for stream in long]
