"""The rule about a forward pass that writes to what it is given."""

from collections.abc import Iterator

from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.findings import Fix, Found


@rule("DAT610", "note", no_number="an input was written to, or it was not")
def overwritten_input(evidence: Evidence) -> Iterator[Found]:
    """## What it does
    Compares the inputs after the observed pass with what they were before it.

    ## Why is this bad?
    The batch belongs to the caller. Whoever uses it again (a second epoch over tensors in memory, a metric, an
    evaluation on the same batch, gradient checkpointing) reads other data than the first time.

    ## Known problems
    Harmless where every batch is read once, hence a note. `gs.check` itself gives each of its passes a copy.

    ## Example
    ```python
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            x += 1
            return self.fc(x)

    model = Shifted()
    ```

    ## Use instead
    ```python
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 4)

        def forward(self, x):
            x = x + 1
            return self.fc(x)

    model = Shifted()
    ```

    ## References
    PyTorch documentation, *In-place operations with autograd*.
    """
    evidence.measured()
    for name in evidence.tape.overwritten:
        yield Found(
            "note",
            name,
            measured="the forward pass wrote to this input: it holds other numbers afterwards",
            expected="the same numbers",
            message="whoever uses this batch a second time reads other data",
            fix=Fix("write x = x + ... in place of x += ..., or x = x.clone() first"),
        )
