"""The rule about the size of the step beside that of the weights."""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import RATIO_HIGH
from gainstage.check.facts.steps import lasting, virtual
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

RATIO_LOW = Quantity(
    "median of update over weight, momentum counted",
    note=Limit(
        1e-5,
        "The literature names 1e-4 as low. Zoo, 5 and 95 %: 6e-3 to 0.05 with Adam at 1e-3, 2e-4 to 0.1 with SGD at"
        " 0.01 and momentum 0.9.",
    ),
)


@rule("OPT806", "note")
def update_ratio(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Measures $\lVert \Delta w \rVert / \lVert w \rVert$, the update over the weight, for every weight after one step of
    the optimizer, and looks at the median.

    ## Why is this bad?
    About 1e-3 is usual. A step as large as the weight itself wipes out the start; one of a millionth will not move
    the weight in any reasonable time.

    ## Known problems
    A sign that the learning rate is worth a look, hence a note: `OPT804` and `OPT805` measure the harm. Weights that
    start at zero have no ratio.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    ```

    ## References
    Karpathy, CS231n, *Ratio of weights:updates*; Ben Braiek, Khomh, *TheDeepChecker*, 2022.
    """
    step = virtual(evidence)
    ratios = {
        name: move.ratio
        for name, move in step.moves.items()
        if evidence.trainable[name].dim() > 1 and move.weight and isfinite(move.ratio) and move.update
    }
    if not ratios:
        raise NotMeasured("no weight of two or more axes is moved")
    middle = median(ratios.values())
    high = middle > RATIO_HIGH.note
    value = RATIO_HIGH(middle)
    if not high:
        yield value
        middle *= lasting(evidence)
        value = RATIO_LOW(middle)
        if RATIO_LOW.note <= middle <= RATIO_HIGH.note:
            yield value
            return
    worst = max(ratios, key=lambda name: ratios[name] if high else -ratios[name])
    yield Found(
        "note",
        worst,
        measured=f"update over weight is {ratios[worst]:.1e} here, {middle:.1e} in the median of {len(ratios)} weights",
        expected=f"a median from {RATIO_LOW.note:.0e} to {RATIO_HIGH.note:g}",
        message="the first step is of the size of the weights" if high else "one step hardly moves the weights",
        fix=evidence.fix("lower the learning rate" if high else "raise the learning rate", []),
        value=value,
    )
