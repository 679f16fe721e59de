"""The rule about steps that go uphill."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import completed, optimizers, virtual
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import Site, ops

_DISTANCES = ("classes", "numbers")


ASCENT = Quantity(
    "sum of gradient times change over the largest that it can be",
    error=Limit(
        0.01,
        "A step of plain descent gives -1, its negative 1; momentum of other batches and decay make it any number "
        "near 0.",
    ),
)


SLOPE = Quantity(
    "slope of what is minimized with respect to a cross-entropy or distance in it",
    error=Limit(0.0, "Below it, making the one smaller makes the other larger."),
)


@rule("OPT803", "error", explains=("OPT804", "OUT501"))
def ascent(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Asks whether the step goes up: the sum of gradient times change, $g \cdot \Delta$, is positive, or the step goes
    down a loss that is itself the negative of a cross-entropy or a distance.

    ## Why is this bad?
    Training makes the model worse with every step.

    ## Known problems
    `maximize=True` with an objective of one's own (a reward) is right and not reported; nor is an optimizer whose
    momentum from earlier steps points elsewhere.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(output, target):
        return -F.cross_entropy(output, target)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss(output, target):
        return F.cross_entropy(output, target)
    ```

    ## References
    PyTorch documentation, `torch.optim.SGD(maximize=...)`.
    """
    if evidence.train_step is not None:
        step = completed(evidence)
        by_flag = any(group.get("maximize") for o in step.optimizers for group in o.param_groups)
        fresh = evidence.optimizer is None or not evidence.optimizer.state
        value = ASCENT(step.slope / step.size if step.size else 0.0, "train_step")
        if not value.number > ASCENT.error or by_flag or not fresh:
            yield value
        else:
            yield Found(
                "error",
                "train_step",
                measured=f"gradient times change is {step.slope:+.2g}, {step.slope / step.size:.0%} of the largest "
                "possible",
                expected="below 0: the change goes against the gradient",
                message="train_step adds the gradient to the parameters instead of subtracting it",
                fix=evidence.fix("subtract it: parameter -= lr * parameter.grad, or call optimizer.step()", []),
                value=value,
            )
            return
    move = virtual(evidence)
    flags = {bool(group.get("maximize")) for o in optimizers(evidence) for group in o.param_groups}
    up = [site for site in evidence.tape.sites if ops.of(site).compares in _DISTANCES and site.backward is not None]
    downhill = -1.0 if flags == {True} else 1.0
    slopes = [SLOPE(downhill * _slope(site), site.name) for site in up]
    if len(flags) == 1 and slopes and all(slope.number < SLOPE.error for slope in slopes):
        yield Found(
            "error",
            up[0].name,
            measured=f"the slope of what is minimized with respect to this {up[0].op} is {_slope(up[0]):+.2g}"
            + (", and the optimizer maximizes" if flags == {True} else ""),
            expected="a step that makes it smaller",
            message=f"the step makes the {up[0].op} larger: "
            + ("the optimizer is set to maximize" if flags == {True} else "its sign is turned on the way to the loss"),
            fix=evidence.fix("leave maximize=True out" if flags == {True} else "leave out the minus", []),
            value=slopes[0],
        )
        return
    yield from slopes
    if flags != {False} or any(o.state for o in optimizers(evidence)):
        if not up:
            raise NotMeasured("the optimizer maximizes or holds momentum, and the loss is none whose sign is known")
        return
    if move.slope > 0 and move.losses[0] > move.before:
        yield Found(
            "error",
            "optimizer",
            measured=f"one step changes the loss from {move.before:.4g} to {move.losses[0]:.4g}; the gradient predicts "
            f"{move.slope:+.2g}",
            expected="a step against the gradient",
            message="the optimizer steps along the gradient instead of against it",
            fix=evidence.fix("turn the sign of the step in the optimizer", []),
        )


def _slope(site: Site) -> float:
    return site.backward.mean if site.backward is not None else float("nan")
