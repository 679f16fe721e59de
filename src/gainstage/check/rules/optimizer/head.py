"""The rule about output heads that are frozen before they know anything."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.losses import comparisons
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity

TRAINED = Quantity(
    "share of the model's numbers that are trained, where its output head is frozen and it knows nothing",
    warning=Limit(0.01, "Adapters have 0.1 to 2 %, on models that know something. The fault suite: 0.002."),
)
KNOWS_NOTHING = Limit(0.8, "Loss at the start over that of guessing.")


@rule("OPT820", "warning", explains=("OPT805",))
def frozen_head(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks whether the weight that makes the outputs is frozen in a model whose loss is that of guessing, and hardly
    anything else is trained.

    ## Why is this bad?
    A loop that was to freeze the body ran over `model.parameters()`: the fresh head stays at random, and nothing that
    is left can learn the task.

    ## Known problems
    Silent where the loss is below that of guessing: a model that knows something may be adapted below its head.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 99), nn.ReLU(), nn.Linear(99, 99), nn.ReLU(), nn.Linear(99, 4))
    for p in model.parameters():
        p.requires_grad = False
    model[2].bias.requires_grad = True
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 99), nn.ReLU(), nn.Linear(99, 99), nn.ReLU(), nn.Linear(99, 4))
    model[:-1].requires_grad_(False)
    ```

    ## References
    PyTorch tutorials, *Finetuning Torchvision Models*: the layer that is replaced requires a gradient.
    """
    heads = {weight.name for weight in evidence.weights if set(weight.sites) & set(evidence.heads)}
    if not heads:
        raise NotMeasured("no weight makes the outputs")
    if heads & set(evidence.trainable):
        return
    guess = sum(comparison.guess for comparison in comparisons(evidence))
    total = sum(p.numel() for p in evidence.parameters.values())
    value = TRAINED(sum(p.numel() for p in evidence.trainable.values()) / max(total, 1), min(heads))
    if not value.number < TRAINED.warning or not evidence.loss_measured() > KNOWS_NOTHING * guess:
        yield value
        return
    yield Found(
        "warning",
        min(heads),
        measured=f"the output head is frozen, and {value.number:.2%} of the numbers are trained; the loss is "
        f"{evidence.loss_measured():.3g}, that of guessing {guess:.3g}",
        expected="a head that is trained",
        message="the head is at random and stays so: what is left to train cannot learn the task",
        fix=evidence.fix("freeze the body only, and unfreeze the head: head.requires_grad_(True)", []),
        value=value,
    )
