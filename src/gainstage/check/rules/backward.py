"""Rules about the gradient on its way back, and about parameters that it does not reach."""

from collections.abc import Iterator

from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check._weights import Weight
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Finding, Severity
from gainstage.check.thresholds import (
    GRADIENT_DEPTH,
    GRADIENT_EXPLODING_ERROR,
    GRADIENT_EXPLODING_WARNING,
    GRADIENT_RESIDUAL_SLACK,
    GRADIENT_VANISHING_ERROR,
    GRADIENT_VANISHING_WARNING,
    UNTRAINED_ERROR,
)

_ALL = "start all weights anew: gs.initialize(model, example)"
_NORMALIZED = (
    "add residual connections, or leave out normalizations: in front of one the scale of a weight does not matter, "
    "so no start repairs this"
)


@rule("BWD301", "vanishing-gradient", "error", explains=())
def vanishing(evidence: Evidence) -> Iterator[Finding]:
    r"""## What it does
    Compares $\lVert g \rVert \lVert W \rVert$, the effect of a relative change of a weight on the loss, between the
    first quarter and the last quarter of the depth; the largest of each counts.

    ## Why is this bad?
    Weights near the input whose effect is 10,000 times smaller stay at their random start while the last ones learn.

    ## Known problems
    Zero or tiny branches (LayerScale, ReZero) do not matter: the stem counts. Models of fewer than 4 weights in a row
    are not judged.

    ## Example
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Sigmoid(), *layers, nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(8) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Bengio, Simard, Frasconi, *Learning Long-Term Dependencies with Gradient Descent is Difficult*, 1994.
    """
    early, late = first_and_last(evidence)
    if 0 < early.pull < GRADIENT_VANISHING_WARNING * late.pull:
        ratio = early.pull / late.pull
        yield Finding(
            "BWD301",
            "vanishing-gradient",
            "error" if ratio < GRADIENT_VANISHING_ERROR else "warning",
            early.name,
            measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: "
            f"ratio {ratio:.1e}",
            expected=f"a ratio above {GRADIENT_VANISHING_WARNING:.0e}",
            message="every layer on the way back shrinks the gradient, so the first layers hardly learn",
            fix=evidence.fix(_ALL),
        )


@rule("BWD302", "exploding-gradient", "warning", explains=())
def exploding(evidence: Evidence) -> Iterator[Finding]:
    r"""## What it does
    The same comparison as `BWD301`, from the other side: $\lVert g \rVert \lVert W \rVert$ near the input is far
    larger than near the output.

    ## Why is this bad?
    No learning rate fits all layers: one that moves the last layers throws the first ones about. In tanh networks the
    usual reason is a chaotic start, where close inputs are torn apart layer by layer; deep plain networks with batch
    normalization magnify the gradient by about 1.2 a layer, whatever the weights.

    ## Known problems
    Models of fewer than 4 weights in a row are not judged. Residual networks are given 200 times as much room: their
    skip path keeps a usable gradient.

    ## Example
    ```python
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    ```

    ## Use instead
    ```python
    layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.Tanh())]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), *layers, nn.Linear(64, 4))
    gs.initialize(model, x)
    ```

    ## References
    Poole et al., *Exponential Expressivity in Deep Neural Networks through Transient Chaos*, NeurIPS 2016; Yang et
    al., *A Mean Field Theory of Batch Normalization*, ICLR 2019.
    """
    late, early = first_and_last(evidence, from_the_end=True)
    slack = GRADIENT_RESIDUAL_SLACK if evidence.branches else 1.0
    if late.pull > 0 and early.pull > slack * GRADIENT_EXPLODING_WARNING * late.pull:
        ratio = early.pull / late.pull
        yield Finding(
            "BWD302",
            "exploding-gradient",
            "error" if ratio > slack * GRADIENT_EXPLODING_ERROR else "warning",
            early.name,
            measured=f"gradient times weight is {early.pull:.1e} here, {late.pull:.1e} at {late.name}: "
            f"ratio {ratio:.3g}",
            expected=f"a ratio below {slack * GRADIENT_EXPLODING_WARNING:,.0f}",
            message="every layer on the way back magnifies the gradient, so no learning rate fits all layers",
            fix=evidence.fix(_NORMALIZED, []) if evidence.graph.norm_calls else evidence.fix(_ALL),
        )


def first_and_last(evidence: Evidence, *, from_the_end: bool = False) -> tuple[Weight, Weight]:
    """The weights of the largest pull at the near and at the far end of the depth: first and last quarter, or back.

    A weight that is used at several depths (a tied embedding and head) counts for the near end only, whose pull is then
    over- rather than underestimated.
    """
    evidence.backward_measured()
    trained = [w for w in evidence.weights if w.name in evidence.gradients]
    depths = {w: [evidence.depth[site] for site in w.sites] for w in trained}
    if len({min(depths[w]) for w in trained}) < GRADIENT_DEPTH:
        raise NotMeasured(f"fewer than {GRADIENT_DEPTH:.0f} trainable weights in a row")
    low, high = min(map(min, depths.values())), max(map(max, depths.values()))
    place = {w: [(d - low) / (high - low) for d in depths[w]] for w in trained}
    if from_the_end:
        place = {w: [1 - p for p in places] for w, places in place.items()}
    near = [w for w in trained if min(place[w]) <= 0.25]
    far = [w for w in trained if min(place[w]) >= 0.75]
    if not near or not far:
        raise NotMeasured("the first or the last weights are used at other depths, too")
    return max(near, key=lambda w: w.pull), max(far, key=lambda w: w.pull)


@rule("BWD303", "no-gradient", "warning")
def missing(evidence: Evidence) -> Iterator[Finding]:
    """## What it does
    Lists the trainable parameters that get no gradient: not used, detached from the loss, or with a gradient that is
    exactly zero, also after two virtual training steps.

    ## Why is this bad?
    They stay as they are. Distributed training waits for the gradients of unused parameters and stops.

    ## Known problems
    Parameters that no site reads, or whose results are not returned, are a note: a head or a pooler that this use of
    the model leaves out. Weights that nothing was sent to (experts that no token chose, recurrent weights over a
    sequence of one step, queries of an attention over one key) are not reported.

    ## Example
    ```python
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 4)

        def forward(self, x):
            h = torch.relu(self.second(torch.relu(self.first(x))))
            return self.third(h.detach())

    model = Detached()
    ```

    ## Use instead
    ```python
    class Attached(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = nn.Linear(8, 64), nn.Linear(64, 64), nn.Linear(64, 4)

        def forward(self, x):
            h = torch.relu(self.second(torch.relu(self.first(x))))
            return self.third(h)

    model = Attached()
    ```

    ## References
    PyTorch documentation, `DistributedDataParallel(find_unused_parameters=...)`.
    """
    evidence.backward_measured()
    settled = evidence.settled
    why: dict[str, list[str]] = {}
    for name in evidence.trainable:
        if reason := _reason(evidence, name, settled):
            why.setdefault(reason, []).append(name)
    total = sum(p.numel() for p in evidence.trainable.values())
    for reason, names in why.items():
        blocked = reason in _HARM
        lost = sum(evidence.trainable[n].numel() for n in names)
        weighty = any(evidence.trainable[n].dim() > 1 for n in names)
        severity: Severity = "note"
        if blocked and weighty:
            severity = "error" if lost > UNTRAINED_ERROR * total else "warning"
        for module, members in _by_module(evidence, names).items():
            own = sum(evidence.trainable[n].numel() for n in members)
            yield Finding(
                "BWD303",
                "no-gradient",
                severity,
                module,
                measured=f"{len(members)} parameters ({own:,} numbers) get no gradient: {reason}",
                expected="a gradient within two steps" if blocked else "a gradient, or requires_grad=False",
                message=_HARM.get(reason, "they keep their start; harmless if this use of the model leaves them out"),
                fix=evidence.fix(_REMEDY.get(reason, "leave them out or freeze them: requires_grad_(False)"), []),
            )


_UNREAD = "no site reads them"
_UNRETURNED = "nothing that is returned depends on them"
_DETACHED = "the path to the loss is cut"
_ZERO = "it is exactly zero, also after two virtual steps"
_HARM = {
    _DETACHED: "their results reach the output, but a detach, no_grad, argmax or a change of type stops the gradient",
    _ZERO: "something between them and the loss passes nothing back: dead units, zero weights or saturation",
}
_REMEDY = {
    _DETACHED: "remove the detach or no_grad, or freeze these parameters if it is meant: requires_grad_(False)",
    _ZERO: "start the weights on the way to the loss anew: gs.initialize(model, example)",
}


def _reason(evidence: Evidence, name: str, settled: "dict[str, Tensor] | object") -> str | None:
    """Why a parameter gets no gradient; None where it does, or where nothing was sent to it."""
    leaf = evidence.tape.parameter(name)
    if leaf is None:
        return _UNREAD
    gradient = evidence.settled.get(name)
    if gradient is not None and bool(gradient.to_dense().any()):
        return None
    if gradient is not None:
        return None if _idle(evidence, leaf.index) else _ZERO
    ends = evidence.graph.outputs | {s.index for s in evidence.tape.sites if s.kind == "loss"}
    returned = any(evidence.graph.ancestors[end] >> leaf.index & 1 for end in ends)
    return _DETACHED if returned else _UNRETURNED


def _idle(evidence: Evidence, leaf: int) -> bool:
    """Whether nothing is sent to the sites that read this parameter: no rows, zero input, a sequence of one step."""
    for index in evidence.graph.consumers[leaf]:
        if index in evidence.one_key:
            continue
        site = evidence.tape.sites[index]
        feeds = [evidence.forward(i) for i in evidence.feeds(index)]
        if 0 in site.shape or evidence.recurrent(index) or (feeds and all(m.mean_square == 0 for m in feeds)):
            continue
        return False
    return True


def _by_module(evidence: Evidence, names: list[str]) -> dict[str, list[str]]:
    """The names under the largest modules all of whose trainable parameters are among them."""
    chosen, found = set(names), dict[str, list[str]]()
    for name in names:
        place = name
        parent = name.rpartition(".")[0]
        while parent and all(n in chosen for n in evidence.trainable if n.startswith(parent + ".")):
            place, parent = parent, parent.rpartition(".")[0]
        found.setdefault(place, []).append(name)
    return found
