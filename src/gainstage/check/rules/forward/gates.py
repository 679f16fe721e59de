"""The rule about gates that nothing passes."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import SATURATED
from gainstage.check.facts.symptoms import harm
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Site, ops, weights_behind

OPEN = Quantity(
    "mean of a gate that is saturated",
    warning=Limit(1e-3, "A thousandth of the signal passes, and as little of the gradient. Highway networks use 0.05."),
)
_GATES = frozenset(name for name in ops.names("activation") if (ops.named(name).low, ops.named(name).high) == (0, 1))


@rule("FWD214", "warning", explains=("FWD201", "FWD202", "BWD301", "OPT811"))
def shut_gates(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Where the signal or gradient vanishes, looks for sigmoids that multiply another signal, are saturated and nearly 0.

    ## Why is this bad?
    A gate of sigmoid(−12) hands on six millionths of the signal and of the gradient, and its own slope is as small: it
    does not open.

    ## Known problems
    Silent where nothing vanishes: a gate may be shut on purpose where another path leads past it.

    ## Example
    ```python
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)
            nn.init.constant_(self.gate.bias, -20.0)

        def forward(self, x):
            return self.gate(x).sigmoid() * self.value(x).tanh()

    model = nn.Sequential(nn.Linear(8, 32), Gated(), Gated(), nn.Linear(32, 4))
    ```

    ## Use instead
    ```python
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.value = nn.Linear(32, 32), nn.Linear(32, 32)

        def forward(self, x):
            return self.gate(x).sigmoid() * self.value(x).tanh()

    model = nn.Sequential(nn.Linear(8, 32), Gated(), Gated(), nn.Linear(32, 4))
    ```

    ## References
    Srivastava, Greff, Schmidhuber, *Highway Networks*, 2015, section 2.2, on the bias of the gates.
    """
    evidence.measured()
    gates = [site for site in evidence.tape if _gates(evidence, site)]
    if not gates:
        raise NotMeasured("no sigmoid multiplies another signal")
    for site in gates:
        moments = evidence.forward(site.index)
        value = OPEN(moments.mean, site.name)
        if moments.saturated < SATURATED.error or not value.number < OPEN.warning:
            yield value
            continue
        felt = harm(evidence, "FWD201", "FWD202", "BWD301")
        if felt is None:
            yield value
            continue
        names = [w.name for w in evidence.weights if set(w.sites) & set(weights_behind(evidence.graph, site.index))]
        yield Found(
            felt.severity,
            site.name,
            measured=f"the gate is {moments.mean:.1g} on average, {moments.saturated:.0%} of it saturated",
            expected=f"above {OPEN.warning:g}",
            message="the gate lets nearly nothing through, and its own gradient is as small: it does not open",
            fix=evidence.fix(
                "start the gate's weight and bias anew: gs.initialize(model, example)",
                [*names, *(name.removesuffix("weight") + "bias" for name in names)],
            ),
            value=value,
        )


def _gates(evidence: Evidence, site: Site) -> bool:
    moments = site.forward
    if site.op not in _GATES or moments is None or not moments.count or moments.saturated != moments.saturated:
        return False
    return "gate" in {fate.kind for fate in evidence.graph.fates(site.index)}
