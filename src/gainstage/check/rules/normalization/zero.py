"""The rule about normalizations whose scale is zero."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

ZEROS = Quantity(
    "share of the entries behind a scale that are exactly 0, where every path to the output leads through it",
    error=Limit(0.9999, "Nothing passes in either direction."),
)


@rule(
    "NRM411",
    "error",
    explains=("BWD301", "BWD303", "FWD201", "FWD202", "FWD204", "INI101", "INI102", "OPT808", "OPT815"),
)
def zero_scale(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for normalizations, written by hand or not, whose scale is zero, behind which the signal is exactly zero, and
    which every path from input to output leads through.

    ## Why is this bad?
    Nothing passes in either direction. A scale that starts at 0 is meant for `1 + scale`, or for the end of a residual
    branch, which has a path past it.

    ## Known problems
    A scale that a path leads past is not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.zeros_(model[1].weight)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))
    ```

    ## References
    Goyal et al., *Accurate, Large Minibatch SGD*, 2017, section 5.1, on where a scale of 0 belongs.
    """
    evidence.measured()
    scales = {
        own["scale"]: site for site, own in evidence.graph.norm_calls.items() if own.get("scale") in evidence.trainable
    }
    if not scales:
        raise NotMeasured("no normalization has a trainable scale")
    for name, site in scales.items():
        leaf = evidence.tape.parameter(name)
        readers = list(evidence.graph.consumers[leaf.index]) if leaf is not None else []
        passed = [i for i in (*readers, site) if (m := evidence.tape.sites[i].forward) is not None and m.count]
        zeros = max((evidence.forward(i).zeros for i in passed), default=0.0)
        value = ZEROS(zeros, name)
        blocked = bool(passed) and any(evidence.forward(i).zeros > ZEROS.error and evidence.cut(i) for i in passed)
        if not blocked or bool(evidence.values[name].any()):
            yield value
            continue
        yield Found(
            "error",
            name,
            measured=f"all {evidence.values[name].numel()} entries are 0, and so is all behind it",
            expected="1, or 0 where it is used as 1 + scale or at the end of a residual branch",
            message="nothing passes this normalization in either direction",
            fix=evidence.fix(f"fill {name} with 1: gs.initialize(model, example)", [name]),
            value=value,
        )
