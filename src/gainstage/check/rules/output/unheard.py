"""The rule about targets that the loss does not hear."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.free_output import FreeOutput
from gainstage.check.facts.oracle import free, labels
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity

UNHEARD = Quantity(
    "share of the samples that no output which was tried gives a gradient",
    warning=Limit(0.0, "Speaks where one value of the targets is that of all of them, and of no other."),
)
UNHEARD_FEWEST = Limit(2, "Samples with that value: a single one may be an accident of rounding.")


@rule("OUT516", "warning", explains=("FWD206", "BWD304", "BWD303", "OPT804", "OPT815", "OUT501", "OUT511"))
def unheard_targets(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Asks the loss alone, about a few outputs, for its gradient at every sample. Speaks where the samples of one class,
    or of one of two values, get none whatever the output is, and where the loss is no number for any output.

    ## Why is this bad?
    Nothing teaches that class: `ignore_index` is one of the classes, or a hinge loss that wants −1 and 1 is given 0
    and 1. A mean over labels that are all ignored is 0 / 0.

    ## Known problems
    Judged by sample: a padding index among the positions of a sequence is no class. A loss that is taken on the normal
    samples only, on purpose, is reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = nn.CrossEntropyLoss(ignore_index=0)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = nn.CrossEntropyLoss()
    ```

    ## References
    PyTorch documentation of `CrossEntropyLoss`, `ignore_index`.
    """
    target = evidence.target
    parts = free(evidence)
    judged = isinstance(target, Tensor) and target.numel() == len(parts[0].values)
    if any(not part.gradients for part in parts):
        yield _no_number(target)
        return
    if not judged:
        raise NotMeasured("there is not one target a sample")
    for part in parts:
        yield from _unheard(evidence, part, target.flatten())


def _no_number(target: object) -> Found:
    values = torch.unique(target) if isinstance(target, Tensor) else torch.empty(0)
    one = len(values) == 1
    return Found(
        "error",
        "loss",
        measured="for no output that was tried the loss is a finite number"
        + (f"; all targets are {values[0].item():g}" if one else ""),
        expected="a loss that some output makes small",
        message="the loss is no number whatever the model says"
        + (": it is a mean over targets that are all left out" if one else ""),
        fix=Fix("look at the targets: how many are left out by ignore_index or a mask, and whether they are numbers"),
    )


def _unheard(evidence: Evidence, part: FreeOutput, target: Tensor) -> Iterator[Found | Value]:
    silent = part.silent
    share = float(silent.double().mean())
    values = torch.unique(target[silent])
    if not 0 < share < 1 or len(values) != 1 or bool((target[~silent] == values[0]).any()):
        yield UNHEARD(0.0, f"output {part.number}")
        return
    two, named = len(torch.unique(target)) == 2, labels(evidence, part.values)
    if int(silent.sum()) < UNHEARD_FEWEST or not (two or named is not None):
        yield UNHEARD(0.0, f"output {part.number}")
        return
    yield Found(
        "warning",
        "loss",
        measured=f"the {int(silent.sum())} of {len(silent)} samples whose target is {values[0].item():g} get no "
        f"gradient, at {len(part.gradients)} outputs that were tried",
        expected="a gradient for every target",
        message=f"nothing teaches the target {values[0].item():g}: the loss leaves it out",
        fix=Fix(
            f"remove ignore_index={values[0].item():g}: it is a class"
            if named is not None
            else "give the loss the two values that it wants: a hinge loss takes -1 and 1"
        ),
        value=UNHEARD(share),
    )
