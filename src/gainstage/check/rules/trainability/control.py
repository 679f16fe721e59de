"""The rule that compares real labels with shuffled ones."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim import Adam

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.training import rows_of, train
from gainstage.check.facts.steps import asked
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.run import call, tensors_in

SECONDS = 3.0  # for each of at most three runs


BETTER = Quantity(
    "accuracy above that with shuffled labels or of the commonest class, in standard errors of guessing",
    note=Limit(2.0, "By chance it is reached once in 40 trainings."),
)
CONTROL_STEPS = Limit(
    50,
    "Steps of Adam at 3e-3 for each of three runs. Digits, half of 64 images: 0.78 to 0.91 on the other half, 0.00 "
    "to 0.19 with shuffled labels.",
)
CONTROL_SAMPLES = Limit(32, "Samples; half of them are predicted.")


@rule("TRN902", "note")
def no_better_than_shuffled(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Trains on half of the example for 50 steps of Adam, once with its labels and twice with shuffled ones, and compares
    the accuracy on the other half.

    ## Why is this bad?
    Labels that follow from the inputs are predicted better than shuffled ones. If not, they may have come apart from
    the inputs: shuffled on their own, sorted, or taken from another split.

    ## Known problems
    Hard tasks show nothing in 50 steps on half a batch, hence a note; a batch of a few hundred samples tells more. Only
    for one label of a class for each sample.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    y = x[:, :4].argmax(1)
    ```

    ## References
    Zhang et al., *Understanding Deep Learning Requires Rethinking Generalization*, ICLR 2017; Adebayo et al., *Sanity
    Checks for Saliency Maps*, NeurIPS 2018 (the label control).
    """
    asked(evidence)
    batch, target = evidence.tape.batch, evidence.target
    if not isinstance(target, Tensor) or target.dtype != torch.int64 or batch is None or target.shape != (batch,):
        raise NotMeasured("the target is not one label for each sample")
    if batch < CONTROL_SAMPLES:
        raise NotMeasured(f"fewer than {CONTROL_SAMPLES:.0f} samples to split into halves")
    generator = torch.Generator().manual_seed(evidence.seed)
    order = torch.randperm(batch, generator=generator)
    halves = order[: batch // 2], order[batch // 2 :]
    scores = [_score(evidence, halves, target)]
    for _ in range(2):
        labels = target.clone()
        mixed = halves[0][torch.randperm(len(halves[0]), generator=generator)]
        labels[halves[0]] = target[mixed]
        scores.append(_score(evidence, halves, labels))
    share = torch.unique(target, return_counts=True)[1].max().item() / batch
    error = (share * (1 - share) / len(halves[1])) ** 0.5
    control = sum(scores[1:]) / 2
    if share == 1:
        return
    value = BETTER((scores[0] - max(control, share)) / error)
    if scores[0] > max(control, share) + BETTER.note * error:
        yield value
    else:
        yield Found(
            "note",
            "target",
            measured=f"trained on half of the batch, the model predicts {scores[0]:.0%} of the other half's labels; "
            f"with shuffled labels {control:.0%}",
            expected=f"above {max(control, share) + BETTER.note * error:.0%}: chance and "
            f"{BETTER.note:.0f} standard errors",
            message="nothing shows that these labels belong to these inputs; on a hard task that is no surprise",
            fix=evidence.fix("look at some samples beside their labels; give a larger batch", []),
            value=value,
        )


def _score(evidence: Evidence, halves: tuple[Tensor, Tensor], labels: Tensor) -> float:
    """Accuracy on the second half, with the given labels on the first."""
    batch = evidence.tape.batch
    assert batch is not None
    train_on, test_on = (rows_of(evidence.example, batch, half) for half in halves)
    device = evidence.target.device

    def accuracy() -> float:
        with torch.no_grad(), Quiet():
            evidence.model.eval()
            output = next((y for y in tensors_in(call(evidence.model, test_on)) if y.dim() == 2), None)
        if output is None or len(output) != len(halves[1]):
            raise NotMeasured("the output has no row of class scores for each sample")
        return float((output.argmax(1) == evidence.target[halves[1].to(device)]).float().mean())

    try:
        losses, found = train(
            evidence.model,
            train_on,
            Adam(evidence.trainable.values(), lr=3e-3),
            target=labels[halves[0].to(device)],
            loss=evidence.loss,
            steps=int(CONTROL_STEPS),
            seconds=SECONDS,
            seed=evidence.seed,
            after=accuracy,
        )
    except Exception as error:  # half of the samples may be no input of this model
        raise NotMeasured(f"half of the batch cannot be trained on: {type(error).__name__}: {error}") from error
    if len(losses) < CONTROL_STEPS:
        raise NotMeasured(f"only {len(losses)} steps within {SECONDS:.0f} seconds")
    return found
