"""Rules about numbers that are none: the first site that makes NaN or infinity, forwards and backwards."""

from collections.abc import Iterator
from math import inf, isfinite, isnan

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Finding
from gainstage.signal import Moments, Site


@rule("FWD206", "non-finite-signal", "error", explains=("INI101", "INI102", "FWD", "BWD", "OUT"))
def forward(evidence: Evidence) -> Iterator[Finding]:
    """## What it does
    Finds the first site whose NaN or infinity reaches the output or the loss.

    ## Why is this bad?
    One NaN in the loss makes every gradient NaN, and the next step every weight.

    ## Known problems
    Minus infinity is the usual value of a mask; it is reported only where it makes the loss non-finite.

    ## Example
    ```python
    class Log(nn.Module):
        def forward(self, x):
            return torch.log(x)

    model = nn.Sequential(nn.Linear(8, 16), Log(), nn.Linear(16, 4))
    ```

    ## Use instead
    ```python
    class Log(nn.Module):
        def forward(self, x):
            return torch.log(nn.functional.softplus(x) + 1e-6)

    model = nn.Sequential(nn.Linear(8, 16), Log(), nn.Linear(16, 4))
    ```

    ## References
    IEEE 754-2019, sections 6.1 and 6.2.
    """
    evidence.measured()
    sites = evidence.tape.sites
    ends = [i for i in {evidence.made_by(ref.site) for ref in evidence.tape.outputs} if _broken(sites[i].forward)]
    lost = evidence.tape.loss is not None and not isfinite(evidence.tape.loss) and not evidence.tape.surrogate
    if lost:
        ends += [site.index for site in sites if site.kind == "loss" and site.forward and site.forward.nonfinite]
        ends = ends or [i for i in (s.index for s in evidence.tape) if evidence.forward(i).nonfinite]
    if not ends:
        return
    behind = 0
    for end in ends:
        behind |= evidence.graph.ancestors[end]
    first = min(
        (s.index for s in sites if behind >> s.index & 1 and s.forward and _bad(s.forward, lost)), default=min(ends)
    )
    site = sites[first]
    held = _held(evidence, site)
    kind = "NaN" if site.forward and _has_nan(site.forward) else "infinite"
    number = site.forward.nonfinite if site.forward else 0
    yield Finding(
        "FWD206",
        "non-finite-signal",
        "error",
        held[0] if held else site.name,
        measured=f"{number} entries of {site.forward.count if site.forward else 0} are {kind}"
        + (f"; {held[0]} holds non-finite values" if held else ""),
        expected="finite numbers",
        message="the first site of the pass whose non-finite numbers reach the output or the loss"
        + (f"; the loss is {evidence.tape.loss}" if lost else ""),
        fix=evidence.fix(
            "start the parameter anew: gs.initialize(model, example)"
            if held
            else "keep the argument of this operation in range: clamp it, add an epsilon, or compute it in float32",
            held,
        ),
    )


def _held(evidence: Evidence, site: Site) -> list[str]:
    """The parameters that this site reads and that hold non-finite values themselves."""
    names = dict.fromkeys(name for ref in site.inputs for name in evidence.graph.parameters_behind(ref))
    parameters = dict(evidence.model.named_parameters())
    return [name for name in names if not bool(parameters[name].detach().isfinite().all())]


def _broken(moments: Moments | None) -> bool:
    """NaN or plus infinity; minus infinity is a mask."""
    return moments is not None and moments.nonfinite > 0 and (_has_nan(moments) or moments.maximum == inf)


def _bad(moments: Moments, lost: bool) -> bool:
    return _broken(moments) or (lost and moments.nonfinite > 0)


def _has_nan(moments: Moments) -> bool:
    return isnan(moments.minimum) or isnan(moments.maximum)


@rule("BWD304", "non-finite-gradient", "error", explains=("BWD", "INI101"))
def backward(evidence: Evidence) -> Iterator[Finding]:
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
    if not broken:
        return
    reached = [s for s in sites if not s.is_leaf and s.backward is not None and s.backward.nonfinite]
    if reached:
        last = max(reached, key=lambda s: s.index)
        readers = [sites[i] for i in evidence.graph.consumers[last.index]]
        site = readers[-1] if readers else last
    else:
        site = sites[evidence.graph.consumers[broken[-1].index][0]]
    yield Finding(
        "BWD304",
        "non-finite-gradient",
        "error",
        site.name,
        measured=f"{len(broken)} of {len(evidence.gradients)} parameters get a NaN or infinite gradient",
        expected="finite gradients",
        message=f"the forward pass is finite, the gradient of {site.op} at these values is not",
        fix=evidence.fix("keep the argument away from where the slope is infinite: add an epsilon inside", []),
    )
