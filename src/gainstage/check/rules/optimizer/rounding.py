"""The rule about steps that the number format cannot hold."""

from collections.abc import Iterator
from statistics import median

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import virtual
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

ROUNDED = Quantity(
    "share of the entries with a gradient that a step leaves bit for bit, in the median parameter",
    warning=Limit(0.9, "Of ten entries nine stay. A bfloat16 model at 4e-5: 0.96, and 4 % of the step is delivered."),
    error=Limit(0.9999, "Not one in ten thousand entries moves."),
)


@rule("OPT819", "warning", explains=("OPT805",))
def rounded_step(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Lets the optimizer make one step and counts the entries that have a gradient and are bit for bit as before.

    ## Why is this bad?
    bfloat16 holds eight bits: what is less than 1/512 of an entry is rounded away when it is added. The few entries
    that move get a step that is too long, the others none, however many steps are made.

    ## Known problems
    Parameters of float32 are not judged: where they stay, the rate is too low. Rounding at random, and optimizers that
    carry the remainder along, deliver these steps on average.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4)).bfloat16()
    x = x.bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    ```

    ## References
    Zamirai et al., *Revisiting BFloat16 Training*, 2020: the nearest rounding of weight updates is what loses accuracy.
    """
    step = virtual(evidence)
    short = {name: move for name, move in step.moves.items() if evidence.trainable[name].element_size() < 4}
    lost = median(move.lost for move in short.values()) if short else 0.0
    value = ROUNDED(lost)
    if lost < ROUNDED.warning:
        yield value
        return
    precision = str(evidence.trainable[next(iter(short))].dtype).removeprefix("torch.")
    yield Found(
        "error" if all(not move.update for move in step.moves.values()) else "warning",
        next(iter(short)),
        measured=f"after one step {lost:.1%} of the entries are bit for bit as before, in the median parameter",
        expected="entries that change where there is a gradient",
        message=f"the step is less than the precision of {precision} can hold, and is rounded away",
        fix=evidence.fix("keep the parameters in float32 (autocast for the passes), or raise the learning rate", []),
        value=value,
    )
