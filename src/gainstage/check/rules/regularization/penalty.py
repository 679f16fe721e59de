"""The rule about penalties on the weights."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.penalty import decoupled, of_loss, of_optimizer
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

PENALTY = Quantity(
    "norm of the penalty's gradient over that of the data's",
    warning=Limit(
        1.5,
        "At the start. Digits, SGD and Adam with L2: 0.97 and 0.96 at 0.08, 0.93 and 0.93 at 0.8, 0.78 and 0.85 at "
        "1.5. A trained model at the balance of both shows 1.",
    ),
    error=Limit(3.0, "Digits: 0.09 and 0.08 = chance at 3.1."),
)
PENALTY_RATE = Limit(
    0.01,
    "The weight decay that the penalty amounts to. Usual ones are 1e-5 to 5e-3; weaker ones take long to act, "
    "whatever their ratio. Zoo with a decay of 5e-4: ratios up to 3.6 (SEW), 95 % below 0.15.",
)


@rule("REG704", "error")
def drowning_penalty(evidence: Evidence) -> Iterator[Found | Value]:
    r"""## What it does
    Compares the gradient of a penalty on the weights with the gradient of the data: the L2 weight decay of an optimizer
    that adds it to the gradient, $\lambda \lVert w \rVert$, and terms of the loss that depend on weights only.

    ## Why is this bad?
    Where the penalty pulls harder than the data, the weights go to zero and the outputs to a constant, whatever the
    labels say.

    ## Known problems
    Decoupled weight decay (AdamW) is not judged: steps without a gradient and with one and two
    times the gradient tell it, whatever the optimizer is called. A decay below 0.01 takes hundreds
    of steps to show, and is not reported: data gradients of a trained model may be that small.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.5)
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=5e-4)
    ```

    ## References
    Krogh, Hertz, *A Simple Weight Decay Can Improve Generalization*, NeurIPS 1991.
    """
    evidence.backward_measured()
    evidence.loss_measured()
    pulls = [pull for pull in (of_optimizer(evidence), of_loss(evidence)) if pull is not None]
    if not pulls:
        raise NotMeasured("the loss holds no penalty on weights, and no optimizer with L2 weight decay was given")
    for pull in pulls:
        if pull.rate < PENALTY_RATE or pull.ratio < PENALTY.warning:
            yield PENALTY(pull.ratio, pull.where)
            continue
        if pull is of_optimizer(evidence) and decoupled(evidence):
            continue
        yield Found(
            "error" if pull.ratio > PENALTY.error else "warning",
            pull.where,
            measured=f"the penalty's gradient is {pull.penalty:.3g}, that of the data {pull.data:.3g}: "
            f"ratio {pull.ratio:.3g}",
            expected=f"a ratio below {PENALTY.warning:g}, usually about 0.01",
            message=f"the penalty acts like a weight decay of {pull.rate:.2g} and pulls harder than the data: "
            "the weights go to zero",
            fix=evidence.fix(f"divide it by {max(10.0, 100 * pull.ratio):.0f} or more", []),
            value=PENALTY(pull.ratio),
        )
