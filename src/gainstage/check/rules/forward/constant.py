"""The rule about computed signals that are one number."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Moments, Site, ops

VARIED = Quantity(
    "largest minus smallest entry of a quotient, over its size",
    warning=Limit(1e-5, "Rounding of float32 gives 2e-7."),
)


@rule("FWD213", "warning")
def constant_quotient(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for quotients that are one number for all samples and positions, although what is divided varies and depends
    on weights.

    ## Why is this bad?
    Something is divided by itself: the weight of the one expert that was chosen by the sum of the chosen weights. It is
    1 whatever it is computed from, and nothing behind it is taught by the task.

    ## Known problems
    A normalization over a single feature has a rule of its own.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.router, self.experts = nn.Linear(8, 3), nn.ModuleList(nn.Linear(8, 4) for _ in range(3))

        def forward(self, x):
            weight, chosen = self.router(x).softmax(1).topk(1, dim=1)
            weight = weight / weight.sum(1, keepdim=True)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * every.gather(1, chosen[:, :, None].expand(-1, 1, 4))[:, 0]

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.router, self.experts = nn.Linear(8, 3), nn.ModuleList(nn.Linear(8, 4) for _ in range(3))

        def forward(self, x):
            weight, chosen = self.router(x).softmax(1).topk(2, dim=1)
            weight = weight / weight.sum(1, keepdim=True)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            return (weight[:, :, None] * every.gather(1, chosen[:, :, None].expand(-1, 2, 4))).sum(1)

    model = Model()
    ```

    ## References
    Fedus, Zoph, Shazeer, *Switch Transformers*, JMLR 2022, equation 2: with one expert the gate is not renormalized.
    """
    evidence.varied_outputs()
    judged = [site for site in evidence.tape if _divides(evidence, site)]
    if not judged:
        raise NotMeasured("nothing that depends on weights is divided by a signal")
    for site in judged:
        value = VARIED(_spread(evidence.forward(site.index)), site.name)
        if value.number >= VARIED.warning:
            yield value
            continue
        yield Found(
            "warning",
            site.name,
            measured=f"the quotient is {evidence.forward(site.index).mean:.4g} everywhere; what is divided varies",
            expected="a quotient that depends on what is divided",
            message="something is divided by itself, and what it is computed from gets no gradient here",
            fix=evidence.fix("divide by a sum over more than one entry, or leave the division out", []),
            value=value,
        )


def _divides(evidence: Evidence, site: Site) -> bool:
    """Whether two signals that depend on inputs and weights are divided, and the first varies."""
    reads = evidence.graph.data(site.index)
    if ops.of(site).name not in ("div", "true_divide") or len(reads) != 2 or site.kind != "op":
        return False
    moments, first = site.forward, evidence.tape.sites[evidence.made_by(reads[0].site)].forward
    if moments is None or first is None or moments.count < 8 or moments.mean == 0:
        return False
    return _spread(first) > VARIED.warning and bool(evidence.graph.parameters_behind(reads[0]))


def _spread(moments: Moments) -> float:
    size = max(abs(moments.maximum), abs(moments.minimum))
    return (moments.maximum - moments.minimum) / size if size > 0 else 0.0
