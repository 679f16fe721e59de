"""The rule about states that carry numbers from step to step and no gradient."""

from collections.abc import Iterator

import torch

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.arrivals import arrivals
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

CARRIED = Quantity(
    "change of the output when all steps but the last are another sample's, over the differences between samples, "
    "where no gradient leads back to these steps",
    warning=Limit(1e-2, "The rounding of float32 gives 1e-6."),
)


@rule("BWD308", "warning")
def cut_state(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    For sequences of real numbers `[N, T, F]`: compares which steps change the output when they are another sample's
    with which steps the gradient of the output arrives at.

    ## Why is this bad?
    A state that is detached after every step carries what it has seen, and nobody can teach it what to keep: what the
    model remembers stays at random.

    ## Known problems
    Speaks only where the last step is the only one that a gradient arrives at.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(3, 32), nn.Linear(32, 4)

        def forward(self, x):
            h = x.new_zeros(len(x), 32)
            for step in x.unbind(1):
                h = self.cell(step, h.detach())
            return self.head(h)

    model, x = Model(), torch.randn(64, 6, 3)
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.GRUCell(3, 32), nn.Linear(32, 4)

        def forward(self, x):
            h = x.new_zeros(len(x), 32)
            for step in x.unbind(1):
                h = self.cell(step, h)
            return self.head(h)

    model, x = Model(), torch.randn(64, 6, 3)
    ```

    ## References
    Williams, Zipser, *Gradient-Based Learning Algorithms for Recurrent Networks*, 1995, on truncated backpropagation.
    """
    if (found := arrivals(evidence)) is None:
        return
    x, moved, pulls = found
    only_last = bool(pulls[-1] > 0) and not bool(torch.any(pulls[:-1] > 0))
    value = CARRIED(float(moved[0]) if only_last else 0.0, "input#0")
    if not value.number > CARRIED.warning:
        yield value
        return
    yield Found(
        "warning",
        "input#0",
        measured=f"the first {x.shape[1] - 1} of {x.shape[1]} steps change the output by {value.number:.2g} of the "
        "differences between samples, and no gradient leads back to them",
        expected="a gradient to every step that is carried on",
        message="the state is cut after every step: what it carries cannot be learned",
        fix=evidence.fix("detach the state between sequences, not between the steps of one", []),
        value=value,
    )
