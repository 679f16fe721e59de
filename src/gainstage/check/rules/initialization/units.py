"""Rules about the weights as they are: symmetry, constants, copies."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.weights import Weight, equal_units
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity

IDENTICAL = Quantity(
    "share of a weight's units that have an identical twin",
    note=Limit(0.0, "Two units alike are one unit too many."),
    warning=Limit(0.1, "A tenth of the width is lost."),
    error=Limit(0.5, "Half of the width is lost."),
)


@rule("INI101", "error", explains=("INI102",))
def identical_units(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds hidden weights whose output units start equal and receive equal gradients.

    ## Why is this bad?
    Equal units compute the same value, get the same gradient and stay equal for ever: a layer of 512 such units has
    the capacity of one. The gradient is measured without dropout: its masks part the units again, but by noise alone.

    ## Known problems
    Output heads are not judged: their rows are told apart by the labels, so a head may start at zero. A weight whose
    rows are equal but whose gradients differ (a zero last weight of a residual branch, LoRA's B) is not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    for p in model.parameters():
        nn.init.constant_(p, 0.1)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    gs.initialize(model, x)
    ```

    ## References
    Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 8.4.
    """
    evidence.backward_measured()
    for weight, unit_axis in _hidden(evidence):
        parameter = evidence.values[weight.name]
        if not _has_twins(parameter, unit_axis):
            yield IDENTICAL(0, weight.name)
            continue
        gradient = evidence.settled.get(weight.name)
        if gradient is None or (weight.zero and not bool(gradient.any())):  # the latter is INI102's
            continue
        groups = equal_units(parameter, gradient, unit_axis)
        total = parameter.shape[unit_axis]
        share = sum(groups) / total
        if not groups:
            yield IDENTICAL(share, weight.name)
            continue
        severity: Severity = "error" if share > IDENTICAL.error else "warning" if share > IDENTICAL.warning else "note"
        value = f": every entry is {weight.low:.4g}" if weight.constant else ""
        yield Found(
            severity,
            weight.name,
            measured=f"{sum(groups)} of {total} units have an identical twin{value}",
            expected="no two units alike",
            message="equal weights and equal gradients: these units compute the same and stay equal",
            fix=evidence.fix(f"draw {weight.name} at random: gs.initialize(model, example)", [weight.name]),
            value=IDENTICAL(share),
        )


def _hidden(evidence: Evidence) -> Iterator[tuple[Weight, int]]:
    """Trainable weights with at least two units that are no output head, and the axis of their units."""
    for weight in evidence.weights:
        if weight.name not in evidence.trainable or weight.unit_axis is None:
            continue
        if evidence.trainable[weight.name].shape[weight.unit_axis] > 1 and not set(weight.sites) <= set(evidence.heads):
            yield weight, weight.unit_axis


def _has_twins(parameter: Tensor, axis: int) -> bool:
    return bool(equal_units(parameter.detach(), None, axis))


@rule(
    "INI102",
    "error",
    explains=("INI104", "INI105", "INI106"),
    no_number="the entries of a weight are one number, or they are not",
)
def constant_weight(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds weights that are one number everywhere: zero weights that block all learning behind and before them, and
    other constants, whose rank is one.

    ## Why is this bad?
    A zero weight hands nothing forwards and nothing backwards. If nothing reaches it either, as after a ReLU of zero,
    it gets no gradient and stays zero. Two virtual training steps are taken to see whether it does.

    ## Known problems
    A zero weight that gets a gradient within two steps is a usual start and not reported: output heads, last weights
    of residual branches, LoRA's B, Fixup.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    nn.init.zeros_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    gs.initialize(model, x)
    ```

    ## References
    Zhang, Dauphin, Ma, *Fixup Initialization*, ICLR 2019 (where a zero weight is right).
    """
    evidence.backward_measured()
    factors = _second_factors(evidence)
    for weight in evidence.weights:
        if (
            weight.name in factors
            or not weight.constant
            or weight.name not in evidence.trainable
            or weight.unit_axis is None
        ):
            continue
        parameter = evidence.values[weight.name]
        if min(parameter.shape[0], parameter[0].numel()) < 2 or set(weight.sites) <= set(evidence.heads) | _empty(
            evidence, weight
        ):
            continue
        if weight.zero and evidence.settled.get(weight.name) is None and evidence.gradients:
            continue  # the path to it is cut, which is another matter
        stays = not bool(evidence.settled.get(weight.name, torch.zeros(1)).to_dense().any())
        if weight.zero and stays:
            blocks = any(evidence.cut(site) for site in weight.sites)
            yield Found(
                "error" if blocks else "warning",
                weight.name,
                measured="every entry is 0, and its gradient is 0, also after virtual steps",
                expected="a gradient within two steps",
                message="nothing passes this weight in either direction"
                + (", and every path from input to output goes through it" if blocks else ""),
                fix=evidence.fix(f"draw {weight.name} at random: gs.initialize(model, example)", [weight.name]),
            )
        elif not weight.zero:
            yield Found(
                "note",
                weight.name,
                measured=f"every entry is {weight.low:.4g}",
                expected="entries that differ",
                message="the weight has rank one: all its units start with the same sum of their inputs",
                fix=evidence.fix(f"draw {weight.name} at random: gs.initialize(model, example)", [weight.name]),
            )


def _second_factors(evidence: Evidence) -> set[str]:
    """Of two zero weights one right behind the other, as in an update of low rank, the second: drawn, it would no
    longer start at 0, and the first alone is enough."""
    zero = {w.name: set(w.sites) for w in evidence.weights if w.zero and w.name in evidence.trainable}
    behind: dict[str, set[int]] = {}
    for weight in evidence.weights:
        if weight.name in zero:
            calls = (evidence.graph.weights.get(site) for site in weight.sites)
            behind[weight.name] = {evidence.made_by(c.data.site) for c in calls if c is not None and c.data is not None}
    return {n for n, reads in behind.items() if any(reads & sites for m, sites in zero.items() if m != n)}


def _empty(evidence: Evidence, weight: Weight) -> set[int]:
    """Sites of this weight that nothing was sent to, as to an expert that no token chose."""
    return {site for site in weight.sites if 0 in evidence.tape.sites[site].shape}


@rule("INI103", "note", no_number="two layers hold the same values, or they do not")
def identical_layers(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds separate parameters that start with bit for bit the same random values.

    ## Why is this bad?
    Layers made by `copy.deepcopy` start alike. One behind the other they see different signals and drift apart, so
    this is a note. Beside each other with equal gradients (members of an ensemble, twin critics) they stay equal
    throughout training: a warning.

    ## Known problems
    Frozen copies (a teacher, a target network) and tied parameters are left out, and so are constant ones.

    ## Example
    ```python
    import copy
    block = nn.Sequential(nn.Linear(8, 8), nn.Tanh())
    model = nn.Sequential(*[copy.deepcopy(block) for _ in range(3)])
    ```

    ## Use instead
    ```python
    model = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(3)])
    ```

    ## References
    pytorch/pytorch issue 72253: the layers of `nn.TransformerEncoder` start identical.
    """
    evidence.measured()
    groups: dict[tuple[str, ...], list[list[str]]] = {}
    for names in _equal_parameters(evidence):
        groups.setdefault(_owners(names), []).append(names)
    for owners, members in groups.items():
        together = all(_equal_gradients(evidence, names) for names in members)
        yield Found(
            "warning" if together else "note",
            f"{owners[0]} to {owners[-1]}" if len(owners) > 2 else " and ".join(owners),
            measured=f"{len(owners)} copies of the same random values" + (", with equal gradients" if together else ""),
            expected="values drawn anew for each",
            message="these copies get equal gradients and stay equal throughout training"
            if together
            else "they start alike; their different places in the network draw them apart",
            fix=evidence.fix(
                "draw each anew: gs.initialize(model, example)", [name for names in members for name in names]
            ),
        )


def _owners(names: list[str]) -> tuple[str, ...]:
    """The modules of which these are the same parameter: the paths up to where they first differ."""
    parts = [name.split(".") for name in names]
    same = next(i for i, words in enumerate(zip(*parts, strict=False)) if len(set(words)) > 1)
    return tuple(".".join(words[: same + 1]) for words in parts)


def _equal_parameters(evidence: Evidence) -> Iterator[list[str]]:
    """Groups of trainable weights with more than 16 entries, of unlike rows, whose values are bitwise equal."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for name in evidence.trainable:
        parameter = evidence.values[name]
        if parameter.dim() < 2 or parameter.numel() <= 16:
            continue
        flat = parameter.reshape(-1)
        places = torch.linspace(0, len(flat) - 1, 16, dtype=torch.float64).long().to(flat.device)
        sample = tuple(flat[places].tolist())
        rows = parameter.reshape(len(parameter), -1)
        if len(set(sample)) > 1 and not bool((rows == rows[:1]).all()):  # rows that are all one were not drawn
            alike.setdefault((tuple(parameter.shape), parameter.dtype, sample), []).append(name)
    for names in alike.values():
        first = evidence.values[names[0]]
        equal = [name for name in names if torch.equal(evidence.values[name], first)]
        if len(equal) > 1:
            yield equal


def _equal_gradients(evidence: Evidence, names: list[str]) -> bool:
    gradients = [evidence.gradients.get(name) for name in names]
    first = gradients[0]
    if first is None or not bool(first.to_dense().any()):
        return False
    size = float(first.to_dense().abs().max())
    return all(g is not None and float((g - first).to_dense().abs().max()) <= 1e-5 * size for g in gradients[1:])
