"""The rule about starts that are healthy by luck."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.redraw import independent, redraw
from gainstage.check.facts.limits import COLLAPSE
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

_PASS_LIMIT = 5e7  # numbers that a pass may make: the draws cost a pass forward each


DEAD_STARTS = Quantity(
    "share of the starts drawn from the same laws in which all samples give the same output",
    warning=Limit(0.05, "A seed is a gamble. Zoo: 0 of 20 starts, besides a zero head and a vector quantizer."),
)
REDRAWS = Limit(
    100,
    "Starts: 15 layers of 5 units die in 13 to 18 of 100 by these draws, in 15 to 22 by fresh ones.",
)


@rule("TRN903", "warning", explains=("TRN901", "TRN902"))
def risky_start(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Draws the start 100 times anew, by giving the entries of each weight another order and other signs, and counts the
    draws in which the output no longer depends on the input.

    ## Why is this bad?
    It tells a seed that is unlucky from a design that dies often. In a ReLU network of 15 layers of 5 units, one start
    in five has a layer that is dead for every input: no training brings it back, and another seed is no repair.

    ## Known problems
    Only for weights whose entries are independent: orthogonal, mirrored and other starts with a structure, and trained
    weights, are not judged. Runs with `train=True`, although it only runs forward.

    ## Example
    ```python
    layers = [layer for _ in range(14) for layer in (nn.Linear(5, 5), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 5), nn.ReLU(), *layers, nn.Linear(5, 4))
    for p in model.parameters():
        nn.init.kaiming_normal_(p) if p.dim() > 1 else nn.init.zeros_(p)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(4) for layer in (nn.Linear(32, 32), nn.ReLU())]
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), *layers, nn.Linear(32, 4))
    for p in model.parameters():
        nn.init.kaiming_normal_(p) if p.dim() > 1 else nn.init.zeros_(p)
    ```

    ## References
    Lu, Shin, Su, Karniadakis, *Dying ReLU and Initialization*, 2020; Rister, Rubin, *Probabilistic Bounds on Neuron
    Death in Deep Rectifier Networks*, 2021.
    """
    if not evidence.train:
        raise NotMeasured("it draws the start anew many times: pass train=True (--train)")
    outputs = evidence.varied_outputs()
    batch = evidence.tape.batch
    assert batch is not None
    hidden = [w for w in evidence.weights if w.unit_axis is not None and not set(w.sites) <= set(evidence.heads)]
    if not hidden or any(w.constant for w in evidence.weights):
        raise NotMeasured("no hidden weight, or a weight that is constant")
    if any(s.kind == "op" and s.dtype.startswith("int") for s in evidence.tape.sites):
        raise NotMeasured("the model chooses by index, and other draws may choose the same for all samples")
    if not independent([evidence.model.get_parameter(w.name) for w in hidden]):
        raise NotMeasured("the weights have a structure that another order of their entries would not keep")
    if sum(evidence.forward(site.index).count for site in evidence.tape) > _PASS_LIMIT:
        raise NotMeasured("a pass is too large to be repeated many times")
    spreads = redraw(evidence.model, evidence.example, batch=batch, draws=int(REDRAWS), seed=evidence.seed)
    dead = sum(spread < COLLAPSE.error for spread in spreads)
    value = DEAD_STARTS(dead / len(spreads))
    if dead < DEAD_STARTS.warning * len(spreads):
        yield value
        return
    here = max(_ratio(evidence, index) for index in outputs) < COLLAPSE.error
    yield Found(
        "warning",
        type(evidence.model).__name__,
        measured=f"in {dead} of {len(spreads)} starts drawn from the same laws all samples give the same output",
        expected=f"fewer than {DEAD_STARTS.warning * len(spreads):.0f}",
        message="this design often dies at its start"
        + ("; this start is one of those" if here else "; this start is one that lives"),
        fix=evidence.fix("make the narrow layers wider, use fewer layers, or use leaky ReLU or normalization", []),
        value=value,
    )


def _ratio(evidence: Evidence, index: int) -> float:
    moments = evidence.forward(index)
    return moments.variance_between / moments.mean_square if moments.mean_square else 0.0
