"""The rule about values that were never written."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found
from gainstage.check.quantity import Limit, Quantity

_ENTRIES = 4096


WILD = Quantity(
    "share of a weight's entries that are NaN or beyond 1e10 in size",
    error=Limit(0.0, "Beside tiny entries one is enough; else half of them."),
)
GARBAGE_HUGE = Limit(1e10, "No weight that is meant is as large; random bits of float32 are beyond it to 37 %.")
GARBAGE_TINY = Limit(1e-20, "No start draws numbers as small, except 0; random bits of float32 are below it to 24 %.")
GARBAGE_SHARE = Limit(0.01, "Tiny entries beside huge ones. A normal law gives 1e-20 once in 1e18 draws.")


@rule("INI108", "error", explains=("BWD", "DAT", "FWD", "INI", "OPT", "OUT", "TRN"))
def never_initialized(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Looks at a few thousand entries of each weight for the marks of memory that nobody wrote: numbers beyond 1e10 or
    NaN beside numbers below 1e-20. Also names parameters that are still on the meta device in a model that is not.

    ## Why is this bad?
    `torch.empty` and `to_empty` return what was in memory. That may be zeros on one run and infinities on the next.

    ## Known problems
    Fresh memory is often zero: see `INI102`. Parameters on the meta device are found only where the pass does not
    need them.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    with torch.no_grad():  # what torch.empty may hold: any bits
        bits = torch.randint(-(2**31), 2**31 - 1, (64, 8), generator=torch.Generator().manual_seed(0))
        model[0].weight.copy_(bits.int().view(torch.float32))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    PyTorch documentation, `torch.empty`: "a tensor filled with uninitialized data".
    """
    parameters = evidence.values
    meta = [name for name, p in parameters.items() if p.is_meta]
    if len(meta) == len(parameters):
        raise NotMeasured("the model is on the meta device, where tensors have no values")
    if meta:
        yield Found(
            "warning",
            meta[0],
            measured=f"{len(meta)} of {len(parameters)} parameters are on the meta device and hold no values",
            expected="no parameter, or all",
            message="to_empty or load_state_dict left them out",
            fix=evidence.fix("model.to_empty(device=...), then gs.initialize(model, example)", []),
        )
        return
    wild = [w.name for w in evidence.weights if not (w.low >= -GARBAGE_HUGE and w.high <= GARBAGE_HUGE)]
    for name, share, huge in _marks({name: parameters[name] for name in wild}):
        yield Found(
            "error",
            name,
            measured=f"{huge:.0%} of its entries are NaN or beyond {GARBAGE_HUGE:.0e}, {share:.0%} below "
            f"{GARBAGE_TINY:.0e}",
            expected="entries of one size",
            message="this is memory that was never written: torch.empty or to_empty without an initialization",
            fix=evidence.fix(f"start {name} anew: gs.initialize(model, example)", [name]),
            value=WILD(huge),
        )


@torch.no_grad()
def _marks(parameters: Mapping[str, Tensor]) -> Iterator[tuple[str, float, float]]:
    """Parameters that look like memory nobody wrote: name, share of tiny entries, share of huge ones."""
    for name, parameter in parameters.items():
        flat = parameter.detach().reshape(-1)
        size = flat[:: max(1, len(flat) // _ENTRIES)][:_ENTRIES].abs().double()
        tiny = float(((size > 0) & (size < GARBAGE_TINY)).double().mean())
        huge = float((~(size <= GARBAGE_HUGE)).double().mean())
        if (huge > 0 and tiny > GARBAGE_SHARE) or huge > 0.5:
            yield name, tiny, huge
