"""The rule about parameters that no gradient reaches."""

from collections.abc import Iterator

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.outputs import at_output, softmax_axis
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import walk

UNTRAINED = Quantity(
    "share of the trainable numbers that get no gradient",
    warning=Limit(0.0, "Each is there to be trained."),
    error=Limit(0.5, "Most of the model stays as it is."),
)


@rule("BWD303", "warning", explains=("OPT808",))
def no_gradient(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Lists the trainable parameters that get no gradient: not used, detached from the loss, or with a gradient that is
    exactly zero, also after two virtual training steps.

    ## Why is this bad?
    They stay as they are. Distributed training waits for the gradients of unused parameters and stops.

    ## Known problems
    Parameters that no site reads, or whose results the loss does not use, are a note: a head or a pooler that this use
    of the model leaves out. So are parameters that only choose what others compute, as the indexer of a sparse
    attention, as long as the input reaches the output past the choice. Weights that nothing was sent to (experts that
    no token chose, recurrent weights over a sequence of one step) or that only enter a softmax over one entry (queries
    of an attention over one key) are not reported.

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
    why: dict[str, list[str]] = {}
    for name in evidence.trainable:
        if reason := _reason(evidence, name):
            why.setdefault(reason, []).append(name)
    total = sum(p.numel() for p in evidence.trainable.values())
    if not why:
        yield UNTRAINED(0)
    for reason, names in why.items():
        blocked = reason in _HARM
        lost = sum(evidence.trainable[n].numel() for n in names)
        weighty = any(evidence.trainable[n].dim() > 1 for n in names)
        severity: Severity = "note"
        if blocked and weighty:
            severity = "error" if lost > UNTRAINED.error * total else "warning"
        value = UNTRAINED(lost / total)
        for module, members in _by_module(evidence, names).items():
            own = sum(evidence.trainable[n].numel() for n in members)
            yield Found(
                severity,
                module,
                measured=f"{len(members)} parameters ({own:,} numbers) get no gradient: {reason}",
                expected="a gradient within two steps" if blocked else "a gradient, or requires_grad=False",
                message=_HARM.get(reason, "they keep their start; harmless if this use of the model leaves them out"),
                fix=evidence.fix(_REMEDY.get(reason, "leave them out or freeze them: requires_grad_(False)"), []),
                value=value,
            )


_UNREAD = "no site reads them"
_UNRETURNED = "nothing that the loss is made of depends on them"
_DETACHED = "the path to the loss is cut"
_CHOICE = "they only choose (top-k, argmax, a comparison), or nothing of their results is kept"
_ZERO = "it is exactly zero, also after virtual steps"
_HARM = {
    _DETACHED: "their results reach the output, but a detach, no_grad, argmax or a change of type stops the gradient",
    _ZERO: "something between them and the loss passes nothing back: dead units, zero weights or saturation",
}
_REMEDY = {
    _DETACHED: "remove the detach or no_grad, or freeze these parameters if it is meant: requires_grad_(False)",
    _ZERO: "start the weights on the way to the loss anew: gs.initialize(model, example)",
}


def _reason(evidence: Evidence, name: str) -> str | None:
    """Why a parameter gets no gradient; None where it does, or where nothing was sent to it."""
    leaf = evidence.tape.parameter(name)
    if leaf is None:
        return _UNREAD
    gradient = evidence.settled.get(name)
    if gradient is not None and bool(gradient.to_dense().any()):
        return None
    if gradient is not None:
        return None if _idle(evidence, leaf.index) or _silenced(evidence, leaf.index) else _ZERO
    ends = {i for i in evidence.graph.outputs if evidence.tape.sites[evidence.made_by(i)].backward is not None}
    ends |= {s.index for s in evidence.tape.sites if s.kind == "loss"}
    if not any(evidence.graph.ancestors[end] >> leaf.index & 1 for end in ends):
        return _UNRETURNED
    inputs = [s.index for s in evidence.tape.sites if s.kind == "input"]
    only_chooses = not _reaches(evidence, [leaf.index], ends) and _reaches(evidence, inputs, ends)
    return _CHOICE if only_chooses else _DETACHED


def _reaches(evidence: Evidence, starts: list[int], ends: set[int]) -> bool:
    """Whether a path leads from the starts to an end past all integers, comparisons and empty tensors."""

    def onwards(index: int) -> list[int]:
        sites = (evidence.tape.sites[i] for i in evidence.graph.consumers[index])
        return [s.index for s in sites if not s.dtype.startswith(("int", "uint", "bool")) and 0 not in s.shape]

    return any(index in ends for index in walk(starts, onwards))


def _idle(evidence: Evidence, leaf: int) -> bool:
    """Whether nothing is sent to the sites that read a parameter: no rows, zeros, padding, a sequence of one step."""
    for index in evidence.graph.consumers[leaf]:
        if index in evidence.one_key:
            continue
        site = evidence.tape.sites[index]
        feeds = [evidence.forward(i) for i in evidence.feeds(index)]
        if 0 in site.shape or evidence.recurrent(index) or (feeds and all(m.mean_square == 0 for m in feeds)):
            continue
        if site.op == "embedding" and site.backward is not None and site.backward.mean_square > 0:
            continue  # only the padding index was looked up
        return False
    return True


def _silenced(evidence: Evidence, leaf: int) -> bool:
    """Whether all that is made of a parameter ends in softmaxes over one entry, which are 1 whatever they are given."""
    sites, graph = evidence.tape.sites, evidence.graph

    def over_one(index: int) -> bool:
        site = sites[index]
        return site.op == "softmax" and bool(site.shape) and site.shape[softmax_axis(site)] == 1

    def heard(index: int) -> bool:
        return at_output(evidence, index) if over_one(index) else sites[index].kind == "loss" or index in graph.outputs

    reached = walk([leaf], lambda index: [] if over_one(index) else graph.consumers[index])
    return not any(heard(index) for index in reached if index != leaf)


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
