"""Rules about values that were never written, or not as declared."""

from collections.abc import Iterator, Mapping
from math import sqrt

import torch
from torch import Tensor, nn

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found
from gainstage.check.thresholds import GARBAGE_HUGE, GARBAGE_SHARE, GARBAGE_TINY
from gainstage.run import named_modules, whole

_ENTRIES = 4096
_FLAGS = ("NANOGPT_SCALE_INIT", "LLMC_RESIDUAL_SCALE_FLAG", "RESIDUAL_SCALE_FLAG", "scale_residual", "is_residual")


@rule(
    "INI108",
    "never-initialized",
    "error",
    explains=("INI", "FWD", "BWD", "OUT", "OPT", "TRN", "DAT"),
)
def garbage(evidence: Evidence) -> Iterator[Found]:
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


@rule("INI109", "declared-scaling", "note", explains=("FWD207",))
def declared(evidence: Evidence) -> Iterator[Found]:
    r"""## What it does
    Finds last weights of residual branches that the model marks for a smaller start, by an attribute such as
    `NANOGPT_SCALE_INIT` or GPT-2's configuration, and that start as large as the others.

    ## Why is this bad?
    The marks are read by an `_init_weights` that was not applied, or was followed by another start. The residual stream
    then grows to $\sqrt{2 L}$ times what was declared.

    ## Known problems
    Only declarations that can be read are known.

    ## Example
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
            self.down.NANOGPT_SCALE_INIT = 1
            for layer in (self.up, self.down):
                nn.init.normal_(layer.weight, std=0.02)

        def forward(self, x):
            return x + self.down(F.gelu(self.up(x)))

    model = nn.Sequential(nn.Linear(8, 32), *[Block() for _ in range(6)], nn.Linear(32, 4))
    ```

    ## Use instead
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
            self.down.NANOGPT_SCALE_INIT = 1
            for layer in (self.up, self.down):
                nn.init.normal_(layer.weight, std=0.02 * (6**-0.5 if layer is self.down else 1))

        def forward(self, x):
            return x + self.down(F.gelu(self.up(x)))

    model = nn.Sequential(nn.Linear(8, 32), *[Block() for _ in range(6)], nn.Linear(32, 4))
    ```

    ## References
    Radford et al., *Language Models are Unsupervised Multitask Learners*, 2019, section 2.3.
    """
    evidence.measured()
    marked, others = _declared(evidence.model)
    if not marked or not others:
        raise NotMeasured("no attribute or configuration declares a smaller start of residual branches")
    wanted = max(2, len(marked)) ** -0.5
    usual = sqrt(sum(_std(p) ** 2 for p in others.values()) / len(others))
    same = [name for name, p in marked.items() if _std(p) > 0.5 * (1 + wanted) * usual]
    if same:
        yield Found(
            "note",
            same[0],
            measured=f"{len(same)} of {len(marked)} marked weights have a standard deviation of "
            f"{_std(marked[same[0]]):.3g}; the others have {usual:.3g}",
            expected=f"about {usual * wanted:.3g}: 1/sqrt({len(marked)}) of the others'",
            message="the smaller start that the model declares for its residual branches never took effect",
            fix=evidence.fix("apply the model's own _init_weights last, or gs.initialize(model, example)"),
        )


def _declared(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The weights that are declared to start smaller, and the other weights of the same kind of layer."""
    marked: dict[str, Tensor] = {}
    others: dict[str, Tensor] = {}
    gpt2 = getattr(getattr(model, "config", None), "model_type", "") == "gpt2"
    for path, module in named_modules(model):
        weight = dict(module.named_parameters(recurse=False)).get("weight")
        if not isinstance(weight, Tensor) or weight.dim() < 2 or isinstance(module, nn.Embedding) or weight.is_meta:
            continue
        flagged = any(vars(module).get(flag, False) for flag in _FLAGS) or (gpt2 and path.endswith("c_proj"))
        (marked if flagged else others)[f"{path}.weight"] = whole(weight.detach())
    modules = dict(named_modules(model))
    kinds = {type(modules[name.rpartition(".")[0]]) for name in marked}
    outer = [n for n in others if type(modules[n.rpartition(".")[0]]) in kinds]
    roots = {name.split(".")[0] for name in marked}
    inner = [n for n in outer if n.split(".")[0] in roots] or outer
    return marked, {n: others[n] for n in inner}


def _std(weight: Tensor) -> float:
    return float(weight.float().square().mean().sqrt())
