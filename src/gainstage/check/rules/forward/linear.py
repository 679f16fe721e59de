"""The rule about networks that are one linear map."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments import rerun
from gainstage.check.facts.modes import in_eval
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import map_tensors
from gainstage.signal import ops

CURVED = Quantity(
    "distance of the output between two samples from the line between their outputs, over their differences",
    warning=Limit(1e-4, "Rounding gives 1e-6; a network with one ReLU 0.1."),
)
WEIGHTS = Limit(3, "Weights in a row: two are a factorization, which may be meant.")
_CURVED = frozenset({"activation", "softmax", "norm", "attention", "gated", "recurrent"})


@rule("FWD212", "warning")
def linear_network(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Where several weights follow each other and no activation was seen, gives the model points halfway between samples,
    in evaluation mode, and measures how far the outputs are from halfway.

    ## Why is this bad?
    Linear maps in a row are one linear map: what the further layers cost buys nothing. Mostly the activations were
    forgotten.

    ## Known problems
    Silent where a layer in between is narrower than input and output, as in a linear autoencoder: that is a map of low
    rank on purpose.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## References
    Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 6.1.
    """
    outputs = evidence.varied_outputs()
    sites = [site for site in evidence.tape if site.index not in evidence.graph.constant and site.kind == "op"]
    deep = max(evidence.depth[index] for index in outputs)
    inputs = [site for site in evidence.tape.sites if site.kind == "input"]
    if deep < WEIGHTS or any(not site.dtype.startswith("float") for site in inputs):
        raise NotMeasured("fewer than three weights follow each other, or the input holds no real numbers")
    if any(ops.of(site).kind in _CURVED for site in sites):
        return
    units = [evidence.tape.sites[index].shape[-1] for index in evidence.graph.weights]
    ends = (inputs[0].shape[-1] if inputs else 0, units[-1] if units else 0)
    if not units or min(units) < min(ends):
        raise NotMeasured("a layer is narrower than input and output")
    given: Any = map_tensors(evidence.example, _halfway)
    before, after = in_eval(evidence), rerun(evidence.model, given, training=False, seed=evidence.seed)
    bends = [
        float((_halfway(a) - b).abs().max() / (a - a.roll(1, 0)).abs().max().clamp(min=1e-30))
        for a, b in zip(before, after, strict=False)
        if a.shape == b.shape and a.dim() and len(a) > 1
    ]
    if not bends:
        raise NotMeasured("the model returns no tensor with one row a sample")
    value = CURVED(max(bends))
    if value.number >= CURVED.warning:
        yield value
        return
    yield Found(
        "warning",
        evidence.tape.sites[outputs[0]].name,
        measured=f"halfway between two samples the output is halfway between theirs, to {value.number:.0e}; {deep} "
        "weights follow each other",
        expected="a nonlinearity between weights",
        message="the whole network is one linear map, which a single weight would do as well",
        fix=evidence.fix("put an activation between the weights", []),
        value=value,
    )


def _halfway(tensor: Tensor) -> Tensor:
    return (tensor + tensor.roll(1, 0)) / 2 if tensor.is_floating_point() and tensor.dim() else tensor
