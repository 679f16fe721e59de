"""The rule about trained tensors that no module has registered."""

from collections.abc import Iterator

from gainstage.check._fact import NotMeasured
from gainstage.check._registry import rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.leaves import leaves, place
from gainstage.check.facts.steps import held
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import is_fsdp2

UNKNOWN = Quantity(
    "numbers in forward that require a gradient and are no parameters of the model",
    warning=Limit(0.0, "What requires a gradient is there to be trained."),
)


@rule("BWD306", "warning", explains=("OPT801", "FWD201"))
def unregistered_tensor(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Follows the gradient from the outputs of one more pass to where it ends, and looks for tensors there that
    `model.parameters()` does not list, and that the optimizer does not hold.

    ## Why is this bad?
    Layers in a Python list, and tensors with `requires_grad=True` instead of `nn.Parameter`, are used in forward and
    never trained, moved to a device, or saved.

    ## Known problems
    Where the optimizer holds them they are trained, and it is a note: they are missing in `state_dict()`.

    ## Example
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = [nn.Linear(8, 16)], nn.Linear(16, 4)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    model = Model()
    ```

    ## Use instead
    ```python
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = nn.ModuleList([nn.Linear(8, 16)]), nn.Linear(16, 4)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return self.head(x)

    model = Model()
    ```

    ## References
    PyTorch documentation, `torch.nn.ModuleList`: its modules "are properly registered, and will be visible by all
    Module methods".
    """
    evidence.backward_measured()
    tensors = (*evidence.model.parameters(), *evidence.model.buffers())
    if is_fsdp2(evidence.model) or any(t.is_inference() for t in tensors):
        raise NotMeasured("its parameters are gathered, or were made in inference mode: a pass has other leaves")
    found = leaves(evidence.model, evidence.example, evidence.heard.leaves, seed=evidence.seed)
    if not found:
        yield UNKNOWN(0)
        return
    try:
        members = held(evidence)
    except NotMeasured:
        members = set()
    lost = [t for t in found if id(t) not in members]
    named = [name for t in lost or found if (name := place(evidence.model, t))]
    numbers = sum(t.numel() for t in lost or found)
    yield Found(
        "warning" if lost else "note",
        named[0] if named else "forward",
        measured=f"{len(lost or found)} tensors ({numbers:,} numbers) require a gradient, are used in forward, and are "
        "no parameters of the model" + ("" if lost else "; the optimizer holds them"),
        expected="tensors that model.parameters() lists",
        message="no optimizer of model.parameters() trains them, and state_dict() leaves them out",
        fix=evidence.fix("keep layers in nn.ModuleList or nn.ModuleDict, and tensors in nn.Parameter", []),
        value=UNKNOWN(numbers),
    )
