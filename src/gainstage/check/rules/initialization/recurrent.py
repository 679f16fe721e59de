"""The rule about the forget gates of LSTMs."""

from collections.abc import Iterator
from math import exp

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.recurrent import forget_gates
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

FORGET_BIAS = Quantity(
    "mean bias of an LSTM's forget gates, in size",
    note=Limit(0.5, "Half of the recommended 1; torch's default is the sum of two uniform numbers around 0."),
)
SHUT = Quantity(
    "mean bias of an LSTM's forget gates, below zero",
    warning=Limit(3.0, "The gate keeps 0.05 of the state, so that after three steps 1e-4 of it is left."),
)
FORGET_STEPS = Limit(
    30,
    "Steps: a gate at one half keeps 2^-30 = 1e-9 of the cell's gradient, below float32's rounding.",
)


@rule("INI107", "note")
def forget_bias(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks at the biases of the forget gates of each LSTM that runs over many steps.

    ## Why is this bad?
    At 0 the gate is half open: each step halves the cell's state and its gradient, so that after 30 steps 1e-9 is left.
    At 1 it keeps 0.73 of it.

    ## Known problems
    A note: many LSTMs learn to remember from 0, only later. Short sequences are not judged, but where gates are shut:
    a bias below −3 is a warning.

    ## Example
    ```python
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    model, x = Last(), torch.randn(64, 50, 8)
    ```

    ## Use instead
    ```python
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    model, x = Last(), torch.randn(64, 50, 8)
    gs.initialize(model, x)
    ```

    ## References
    Jozefowicz, Zaremba, Sutskever, *An Empirical Exploration of Recurrent Network Architectures*, ICML 2015, section 3.
    """
    evidence.measured()
    gates = list(forget_gates(evidence))
    if not gates:
        raise NotMeasured("no trainable nn.LSTM with biases")
    for gate in gates:
        value = FORGET_BIAS(abs(gate.bias), gate.path or "the model")
        if gate.steps > 2 and -gate.bias > SHUT.warning:
            yield Found(
                "warning",
                gate.path or "the model",
                measured=f"the forget gates' bias is {gate.bias:.2g} on average: each step keeps "
                f"{1 / (1 + exp(-gate.bias)):.1g} of the cell's state",
                expected="about 1",
                message=f"the cell forgets at once, over {gate.steps} steps nothing is carried on",
                fix=evidence.fix("start the forget gates at 1: gs.initialize(model, example)", gate.names),
                value=SHUT(-gate.bias),
            )
            continue
        yield SHUT(-gate.bias, gate.path or "the model")
        if gate.steps < FORGET_STEPS:
            continue
        if value.number >= FORGET_BIAS.note:
            yield value
        else:
            yield Found(
                "note",
                gate.path or "the model",
                measured=f"the forget gates' bias is {gate.bias:.2g} on average, over {gate.steps} steps",
                expected="about 1",
                message=f"a gate at one half keeps 2^-{gate.steps} of the cell's state and gradient",
                fix=evidence.fix("start the forget gates at 1: gs.initialize(model, example)", gate.names),
                value=value,
            )
