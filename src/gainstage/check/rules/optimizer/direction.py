"""The rule about steps that go uphill."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.steps import completed, optimizers, virtual
from gainstage.check.findings import Found
from gainstage.check.thresholds import ASCENT
from gainstage.signal import Site

_DISTANCES = frozenset({"cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"})


@rule("OPT803", "ascent", "error", explains=("OPT804", "OPT806", "OUT", "TRN"))
def ascent(evidence: Evidence) -> Iterator[Found]:
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
        step = evidence.once(completed)
        by_flag = any(group.get("maximize") for o in step.optimizers for group in o.param_groups)
        fresh = evidence.optimizer is None or not evidence.optimizer.state
        if step.size and step.slope > ASCENT * step.size and not by_flag and fresh:
            yield Found(
                "error",
                "train_step",
                measured=f"gradient times change is {step.slope:+.2g}, {step.slope / step.size:.0%} of the largest "
                "possible",
                expected="below 0: the change goes against the gradient",
                message="train_step adds the gradient to the parameters instead of subtracting it",
                fix=evidence.fix("subtract it: parameter -= lr * parameter.grad, or call optimizer.step()", []),
            )
            return
    move = evidence.once(virtual)
    flags = {bool(group.get("maximize")) for o in evidence.once(optimizers) for group in o.param_groups}
    up = [site for site in evidence.tape.sites if site.op in _DISTANCES and site.backward is not None]
    turned = [_upward(site) != (flags == {True}) for site in up]
    if len(flags) == 1 and turned and all(turned):
        yield Found(
            "error",
            up[0].name,
            measured=f"the slope of what is minimized with respect to this {up[0].op} is {_slope(up[0]):+.2g}"
            + (", and the optimizer maximizes" if flags == {True} else ""),
            expected="a step that makes it smaller",
            message=f"the step makes the {up[0].op} larger: "
            + ("the optimizer is set to maximize" if flags == {True} else "its sign is turned on the way to the loss"),
            fix=evidence.fix("leave maximize=True out" if flags == {True} else "leave out the minus", []),
        )
        return
    if flags != {False} or any(o.state for o in evidence.once(optimizers)):
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


def _upward(site: Site) -> bool:
    return _slope(site) < 0


def _slope(site: Site) -> float:
    return site.backward.mean if site.backward is not None else float("nan")
