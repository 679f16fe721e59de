"""The rule about label smoothing."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

SPREAD = Quantity(
    "share of a target's mass that is spread over all classes",
    note=Limit(0.5, "Half of it is on classes that are wrong; published values are 0.05 to 0.2."),
)


BEFORE = Quantity(
    "share of a target's mass that is spread before the loss spreads it again",
    note=Limit(0.0, "Once is what was asked for: a target of 0.9 becomes 0.81."),
)


@rule("REG706", "note")
def label_smoothing(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks at the label smoothing of each cross-entropy: how much of the target's mass it spreads evenly, and whether the
    targets come smoothed already.

    ## Why is this bad?
    Smoothed twice, a target of 0.9 becomes 0.81: more than was asked for. From one half on most of the loss is about
    classes that are wrong.

    ## Known problems
    Mixed targets (mixup, CutMix) and teachers' probabilities are not smoothed ones: judged are rows whose smaller
    entries are all equal and above 0.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    y = 0.9 * F.one_hot(y, 4) + 0.1 / 4
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    ```

    ## References
    Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7 (0.1).
    """
    evidence.measured()
    calls = [site for site in evidence.tape.sites if site.op == "cross_entropy"]
    if not calls:
        raise NotMeasured("the loss calls no cross_entropy")
    for site in calls:
        asked = site.kwargs.get("label_smoothing", 0.0)
        asked = float(asked) if isinstance(asked, float | int) else 0.0
        before = _smoothed(evidence.target) if asked > 0 else 0.0
        if before == 0 and asked < SPREAD.note:
            yield SPREAD(asked, site.name)
            continue
        total = 1 - (1 - before) * (1 - asked)
        yield Found(
            "note",
            site.name,
            measured=f"{total:.3g} of each target is spread over all classes"
            + (f": {before:.2g} in the targets, {asked:.2g} in the loss" if before else ""),
            expected="0.1 or so, applied once",
            message="the targets are smoothed twice" if before else "most of the loss is about wrong classes",
            fix=evidence.fix(
                "pass labels as class numbers, or leave out label_smoothing" if before else "label_smoothing=0.1", []
            ),
            value=BEFORE(before) if before else SPREAD(total),
        )


def _smoothed(target: object) -> float:
    """The share of each row that is spread evenly; 0 where the targets are not smoothed labels."""
    if not isinstance(target, Tensor) or not target.is_floating_point() or target.dim() != 2 or target.shape[1] < 3:
        return 0.0
    rows = target.detach().double().sort(dim=1).values
    low = rows[:, :-1]
    even = torch.allclose(low, rows[:, :1].expand_as(low), atol=1e-6) and bool((rows[:, 0] > 1e-6).all())
    whole = torch.allclose(rows.sum(1), torch.ones_like(rows[:, 0]), atol=1e-4)
    return float(rows[:, 0].mean() * rows.shape[1]) if even and whole else 0.0
