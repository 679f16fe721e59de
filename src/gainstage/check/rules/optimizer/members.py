"""Rules about which parameters the optimizer holds."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import held, optimizers
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

UNHELD = Quantity(
    "share of the trainable numbers that get a gradient and are in no optimizer",
    warning=Limit(0.0, "Each is there to be trained."),
)


@rule("OPT801", "warning", explains=("OPT808",))
def missing_parameters(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Lists the trainable parameters that get a gradient and that no optimizer holds.

    ## Why is this bad?
    They keep their random start: a layer added after the optimizer was built, or kept in a plain Python list when the
    optimizer was built, is never trained.

    ## Known problems
    Where one optimizer of several is given as `optimizer`, the others are known only if `train_step` is given as well.
    To leave parameters out on purpose, say so with `requires_grad_(False)`: no gradient is computed for them then.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model[2].parameters(), lr=0.1)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ```

    ## References
    PyTorch documentation, `torch.optim`, *Constructing it*.
    """
    members = held(evidence)
    evidence.backward_measured()
    names = [n for n in evidence.gradients if id(evidence.trainable[n]) not in members]
    numbers, total = (sum(evidence.trainable[n].numel() for n in some) for some in (names, evidence.trainable))
    value = UNHELD(numbers / total)
    if not names:
        yield value
        return
    if len(names) == len(evidence.gradients):  # all of them: OPT802
        return
    yield Found(
        "warning",
        names[0],
        measured=f"{len(names)} trainable parameters ({numbers:,} of {total:,} numbers) are in no optimizer: "
        + _listed(names),
        expected="every parameter that gets a gradient is in one",
        message="they get a gradient, and nothing applies it: they keep their start",
        fix=evidence.fix(
            "give the optimizer model.parameters() after the model is complete, or freeze them: requires_grad_(False)",
            [],
        ),
        value=value,
    )


FOREIGN = Quantity(
    "share of the trainable numbers that an optimizer of other tensors leaves out",
    error=Limit(0.0, "Each is there to be trained."),
)


@rule("OPT802", "error", explains=("OPT801",))
def foreign_parameters(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for parameters in the optimizer that do not belong to the model, while parameters of the model are missing.

    ## Why is this bad?
    An optimizer holds tensors, not names. One that was built before the model or one of its layers was made anew
    goes on training the old tensors, which nothing uses.

    ## Known problems
    Where all of the model's parameters are held, further ones (a loss with weights, a second model) are not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model[2] = nn.Linear(64, 4)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 10))
    model[2] = nn.Linear(64, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ```

    ## References
    PyTorch documentation, `torch.optim`: "construct the optimizer after the model's parameters are as they will be".
    """
    members = held(evidence)
    evidence.backward_measured()
    own = {id(p) for p in evidence.model.parameters()}
    strange = len(members - own)
    names = [n for n, p in evidence.trainable.items() if id(p) not in members]
    if not names or not (strange or members.isdisjoint(own)):
        return
    none = len(names) == len(evidence.trainable)
    numbers, total = (sum(evidence.trainable[n].numel() for n in some) for some in (names, evidence.trainable))
    yield Found(
        "error",
        names[0],
        measured=f"{strange} of the optimizer's {len(members)} tensors are not the model's, and {len(names)} of the "
        f"model's {len(evidence.trainable)} ({numbers:,} of {total:,} numbers) are not the optimizer's: "
        + _listed(names),
        expected="the model's own parameters",
        message="the optimizer was built for "
        + ("another model: it never changes this one" if none else "layers that have been replaced since"),
        fix=evidence.fix("build the optimizer after the model is complete and on its device", []),
        value=FOREIGN(numbers / total),
    )


@rule("OPT814", "note", no_number="a parameter is frozen, or it is not")
def frozen_parameters(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Counts the parameters in the optimizer that do not require a gradient.

    ## Why is this bad?
    They are skipped: harmless if they are meant to stay, and a forgotten freeze if not.

    ## Known problems
    Handing `model.parameters()` to the optimizer of a partly frozen model is usual.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    model[0].requires_grad_(False)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ```

    ## References
    PyTorch documentation, *Autograd mechanics*, locally disabling gradient computation.
    """
    if not optimizers(evidence):
        raise NotMeasured("no optimizer was given")
    members = held(evidence)
    names = [n for n, p in evidence.parameters.items() if not p.requires_grad and id(p) in members]
    if names:
        numbers = sum(evidence.model.get_parameter(n).numel() for n in names)
        yield Found(
            "note",
            names[0],
            measured=f"{len(names)} parameters ({numbers:,} numbers) in the optimizer are frozen: {_listed(names)}",
            expected="parameters that require a gradient",
            message="they get no gradient, so the optimizer skips them",
            fix=evidence.fix("leave them out of the optimizer, or unfreeze them: requires_grad_(True)", []),
        )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
