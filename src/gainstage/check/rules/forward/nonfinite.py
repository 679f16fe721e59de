"""The rule about numbers that are none: the first site that makes NaN or infinity."""

from collections.abc import Iterator
from math import inf, isfinite, isnan

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Moments, Site

NONFINITE = Quantity(
    "share of a site's entries that are NaN or infinite",
    error=Limit(0.0, "What is computed from one of them is not finite either."),
)


@rule("FWD206", "error", explains=("BWD304", "FWD204", "FWD207"))
def non_finite_signal(evidence: Evidence) -> Iterator[Found | Value]:
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
        yield NONFINITE(0)
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
    number, count = (site.forward.nonfinite, site.forward.count) if site.forward else (0, 0)
    yield Found(
        "error",
        held[0] if held else site.name,
        measured=f"{number} entries of {count} are {kind}" + (f"; {held[0]} holds non-finite values" if held else ""),
        expected="finite numbers",
        message="the first site of the pass whose non-finite numbers reach the output or the loss"
        + (f"; the loss is {evidence.tape.loss}" if lost else ""),
        fix=evidence.fix(
            "start the parameter anew: gs.initialize(model, example)"
            if held
            else "keep the argument of this operation in range: clamp it, add an epsilon, or compute it in float32",
            held,
        ),
        value=NONFINITE(number / max(count, 1)),
    )


def _held(evidence: Evidence, site: Site) -> list[str]:
    """The parameters that this site reads and that hold non-finite values themselves."""
    names = dict.fromkeys(name for ref in site.inputs for name in evidence.graph.parameters_behind(ref))
    values = evidence.values
    return [name for name in names if name in values and not bool(values[name].isfinite().all())]


def _broken(moments: Moments | None) -> bool:
    """NaN or plus infinity; minus infinity is a mask."""
    return moments is not None and moments.nonfinite > 0 and (_has_nan(moments) or moments.maximum == inf)


def _bad(moments: Moments, lost: bool) -> bool:
    return _broken(moments) or (lost and moments.nonfinite > 0)


def _has_nan(moments: Moments) -> bool:
    return isnan(moments.minimum) or isnan(moments.maximum)
