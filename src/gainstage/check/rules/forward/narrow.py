"""The rule about layers that are too narrow for what has to pass."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import ops

NARROW = Quantity(
    "units of a layer between wide ones",
    note=Limit(
        2,
        "Digits, the best of three rates: 0.36 and 0.76 with 1 and 2 units between layers of 64, 0.95 with 4, 0.97 "
        "without.",
    ),
)
NARROW_WIDE = Limit(8, "How many times as wide the layers before and behind are.")


@rule("FWD211", "note", explains=("FWD201",))
def bottleneck(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds a layer of one or two units between wide ones that every path to the output leads through.

    ## Why is this bad?
    Everything the output knows of the input has to pass through one or two numbers. On digits (10 classes) a ReLU layer
    of 1, 2 and 4 units between layers of 64 reaches 0.36, 0.76 and 0.95, where 0.97 is reached without.

    ## Known problems
    Autoencoders are narrow on purpose: only one unit before an output of at least 3 classes is a warning.

    ## Example
    ```python
    model = nn.Sequential(
        nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1), nn.Tanh(), nn.Linear(1, 64), nn.Tanh(), nn.Linear(64, 4)
    )
    ```

    ## Use instead
    ```python
    model = nn.Sequential(
        nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 4)
    )
    ```

    ## References
    Tishby, Zaslavsky, *Deep Learning and the Information Bottleneck Principle*, 2015.
    """
    evidence.measured()
    weights = {i: c for i, c in evidence.graph.weights.items() if c.family in ("linear", "matmul")}
    if len(weights) < 2:
        raise NotMeasured("fewer than two dense layers")
    classes = {
        evidence.graph.shapes[ops.argument(site, "input").site][1]
        for site in evidence.tape.sites
        if ops.of(site).compares == "classes" and len(evidence.graph.shapes[ops.argument(site, "input").site]) > 1
    }
    for index, call in weights.items():
        if call.data is None or index in evidence.heads or not evidence.tape.sites[index].shape:
            continue
        into, out = evidence.graph.shapes[call.data.site][-1], evidence.tape.sites[index].shape[-1]
        if into < NARROW_WIDE * out or not evidence.cut(index):
            continue
        after = [i for i in weights if i > index and evidence.graph.depends(i, index)]
        if not any(evidence.tape.sites[i].shape[-1] >= NARROW_WIDE * out for i in after):
            continue
        value = NARROW(out, evidence.tape.sites[index].name)
        if out > NARROW.note:
            yield value
            continue
        yield Found(
            "warning" if out == 1 and max(classes, default=0) > 2 else "note",
            evidence.tape.sites[index].name,
            measured=f"{out} unit{'s' if out > 1 else ''} after {into}, and every path to the output leads through",
            expected=f"more than {NARROW.note:.0f}",
            message="all that the output learns of the input must pass through "
            + (f"{out} numbers" if out > 1 else "one number"),
            fix=evidence.fix("make this layer wider, or add a path around it", []),
            value=value,
        )
