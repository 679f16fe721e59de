"""The rule about gradients that are no numbers."""

from collections.abc import Iterator
from math import isfinite

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

NONFINITE = Quantity(
    "share of the parameters whose gradient is NaN or infinite",
    error=Limit(0.0, "The step of such a gradient breaks the parameter."),
)


@rule("BWD304", "error", explains=("BWD301", "BWD302", "BWD303", "OPT804", "OPT815"))
def non_finite_gradient(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Where the forward pass is finite but a gradient is not: finds the site at which the backward pass breaks.

    ## Why is this bad?
    The first optimizer step turns every weight into NaN.

    ## Known problems
    The usual causes are a square root or norm at 0, a power below 1 at 0, and a `torch.where` whose unused side is
    infinite: it multiplies infinity by 0.

    ## Example
    ```python
    class Distances(nn.Module):
        def forward(self, x):
            return (x[:, None] - x[None]).square().sum(-1).sqrt()

    model = nn.Sequential(nn.Linear(8, 16), Distances(), nn.Linear(len(x), 4))
    ```

    ## Use instead
    ```python
    class Distances(nn.Module):
        def forward(self, x):
            return ((x[:, None] - x[None]).square().sum(-1) + 1e-6).sqrt()

    model = nn.Sequential(nn.Linear(8, 16), Distances(), nn.Linear(len(x), 4))
    ```

    ## References
    PyTorch documentation, *Autograd mechanics*, gradients for non-differentiable functions.
    """
    evidence.backward_measured()
    if evidence.tape.loss is not None and not isfinite(evidence.tape.loss):
        raise NotMeasured("the loss is not finite, so no gradient can be")
    sites = evidence.tape.sites
    broken = [s for s in sites if s.kind == "parameter" and s.backward is not None and s.backward.nonfinite]
    value = NONFINITE(len(broken) / max(len(evidence.gradients), 1))
    if not broken:
        yield value
        return
    reached = [s for s in sites if not s.is_leaf and s.backward is not None and s.backward.nonfinite]
    if reached:
        last = max(reached, key=lambda s: s.index)
        readers = [sites[i] for i in evidence.graph.consumers[last.index]]
        site = readers[-1] if readers else last
    else:
        site = sites[evidence.graph.consumers[broken[-1].index][0]]
    yield Found(
        "error",
        site.name,
        measured=f"{len(broken)} of {len(evidence.gradients)} parameters get a NaN or infinite gradient",
        expected="finite gradients",
        message=f"the forward pass is finite, the gradient of {site.op} at these values is not",
        fix=evidence.fix("keep the argument away from where the slope is infinite: add an epsilon inside", []),
        value=value,
    )
