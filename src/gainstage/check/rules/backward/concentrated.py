"""The rule about a gradient that nearly all goes to one weight."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.limits import GRADIENT_DEPTH
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

CONCENTRATED = Quantity(
    "squared effect of all weights but the one with the largest, over that of all",
    note=Limit(
        1e-6,
        "Their gradients are below a thousandth. Zoo: lowest 1e-6 (class attention with LayerScale), then 3e-4 (a "
        "wide and deep model).",
    ),
)


@rule("BWD305", "note")
def concentrated_gradient(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares $(\lVert g \rVert \lVert W \rVert)^2$, the squared effect of a relative change of a weight on the loss,
    between all weights: which share does the largest have?

    ## Why is this bad?
    Where one weight has nearly all of the effect, plain gradient descent and a clipped gradient train that weight only.

    ## Known problems
    Optimizers that scale each gradient by its own size (Adam) are not harmed, hence a note. Weights without any
    gradient (zero branches at the start) are left out. Vanishing and exploding along the depth are `BWD301` and
    `BWD302`.

    ## Example
    ```python
    class WideAndDeep(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Linear(8, 4)
            self.deep = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(5)], nn.Linear(8, 4))

        def forward(self, x):
            return self.wide(x) + 1e-4 * self.deep(x)

    model = WideAndDeep()
    ```

    ## Use instead
    ```python
    class WideAndDeep(nn.Module):
        def __init__(self):
            super().__init__()
            self.wide = nn.Linear(8, 4)
            self.deep = nn.Sequential(*[nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(5)], nn.Linear(8, 4))

        def forward(self, x):
            return self.wide(x) + self.deep(x)

    model = WideAndDeep()
    ```

    ## References
    Glorot, Bengio, *Understanding the Difficulty of Training Deep Feedforward Neural Networks*, AISTATS 2010.
    """
    evidence.backward_measured()
    pulls = {w.name: w.pull for w in evidence.weights if w.name in evidence.gradients and w.pull > 0}
    if len(pulls) < GRADIENT_DEPTH:
        raise NotMeasured(f"fewer than {GRADIENT_DEPTH:.0f} weights with a gradient")
    total = sum(pull**2 for pull in pulls.values())
    name = max(pulls, key=lambda n: pulls[n])
    rest = sum(pull**2 for other, pull in pulls.items() if other != name)
    value = CONCENTRATED(rest / total, name)
    if value.number >= CONCENTRATED.note:
        yield value
    else:
        second = max((pull for other, pull in pulls.items() if other != name), default=0.0)
        yield Found(
            "note",
            name,
            measured=f"all but {rest / total:.0e} of the squared effect of {len(pulls)} weights is here: gradient "
            f"times weight is {pulls[name]:.1e}, at the next {second:.1e}",
            expected=f"at least {CONCENTRATED.note:.0e} elsewhere",
            message="plain gradient descent trains this weight only",
            fix=evidence.fix(
                "bring the layers to one scale with gs.initialize(model, example), or use an optimizer that rescales "
                "gradients, such as Adam",
                [],
            ),
            value=value,
        )
