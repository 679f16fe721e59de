"""The rule about losses that are lower the worse the output is."""

from collections.abc import Iterator

import torch

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.free_output import FreeOutput
from gainstage.check.facts.oracle import free, labels
from gainstage.check.findings import Fix, Found, Value
from gainstage.check.quantity import Limit, Quantity

AGAINST = Quantity(
    "share of the samples, and outputs tried, at which the loss falls as the labelled entry does",
    error=Limit(0.999, "Of a cross-entropy 0. A policy is pushed away from about half of its actions."),
)
STILL = Quantity(
    "part of the fall of the loss, over free outputs, that the last quarter of the descent makes up",
    error=Limit(0.3, "A quarter at one pace, 0.44 of a parabola upside down; 0.00 near a smallest value. Zoo: 0.23."),
)
AGAINST_COUNT = Limit(64, "Labels times outputs: a coin shows one side 64 times in a row once in 2e19.")


@rule("OUT514", "error", explains=("OPT803", "OUT501"))
def endless_loss(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Asks the loss alone, about a few outputs besides that of the model. With class labels: does it fall as the output
    for the labelled class *falls*, for every sample? With targets of the output's shape: does it fall without end,
    below what the target itself as the output would cost,
    or over a pole? Along
    outputs of another shape: does it fall faster and faster?

    ## Why is this bad?
    Training finds what makes the loss smallest. If that is not near the target, a falling loss says nothing, and every
    step makes the result worse. Mostly a minus is missing, or the numbers are not of the kind that the loss wants.

    ## Known problems
    A loss that is linear in the output has no smallest value either, and is left out: policies and critics are trained
    with it.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: output.log_softmax(1).gather(1, y[:, None]).mean()
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    loss = lambda output, y: -output.log_softmax(1).gather(1, y[:, None]).mean()
    ```

    ## References
    Goodfellow, Bengio, Courville, *Deep Learning*, 2016, section 6.2.1, "Cost Functions".
    """
    seen = False
    for part in free(evidence):
        for found in (_against(evidence, part), _endless(part)):
            seen = seen or found is not None
            if found is not None:
                yield found
    if not seen:
        raise NotMeasured("no output has the shape of the targets, or an entry for each label")


def _against(evidence: Evidence, part: FreeOutput) -> Found | Value | None:
    named = labels(evidence, part.values)
    if named is None or not part.gradients or not part.heeds_target:
        return None
    chosen, axis = named
    pulls = torch.stack([g.gather(axis, chosen.unsqueeze(axis)) for g in part.gradients])
    value = AGAINST(float((pulls > 0).double().mean()), f"output {part.number}")
    if value.number <= AGAINST.error or pulls.numel() < AGAINST_COUNT:
        return value
    return Found(
        "error",
        "loss",
        measured=f"for all of {len(chosen)} samples, and {len(part.gradients)} outputs that were tried, the loss falls "
        "as the output for the labelled class falls",
        expected="a loss that falls as the labelled class becomes more likely",
        message="training makes the right class less likely: a sign is wrong",
        fix=Fix("put a minus in front of the log-likelihood"),
        value=value,
    )


def _unbounded(part: FreeOutput) -> Found | Value | None:
    """An output that is compared with no target, along which the loss falls faster and faster."""
    if not part.descent or part.linear:
        return None
    value, start, end = STILL(part.still_falling, f"output {part.number}"), part.descent[0], part.descent[-1]
    if value.number <= STILL.error or end >= start - abs(start):
        return value
    return Found(
        "error",
        "loss",
        measured=f"along output {part.number} alone the loss goes from {start:.3g} to {end:.3g} in {len(part.descent)} "
        f"steps, {value.number:.0%} of it in the last quarter",
        expected="a loss that has a lower end",
        message="a term of the loss falls without end, the faster the farther this output is from 0",
        fix=Fix("look for a wrong sign: a divergence, a penalty or a squared distance is added and not subtracted"),
        value=value,
    )


def _endless(part: FreeOutput) -> Found | Value | None:
    if part.perfect != part.perfect:
        return _unbounded(part)
    if not part.descent or not part.heeds_target:
        return None
    value = STILL(part.still_falling, f"output {part.number}")
    end, lowest = part.descent[-1], min(part.descent)
    gain = abs(part.descent[0] - part.perfect)
    far = part.perfect - gain
    back = max(part.descent[part.descent.index(lowest) :])
    distance = abs(part.perfect) < 0.01 * gain  # 0 where output and target agree, as no likelihood is
    if distance and lowest < far and back - lowest > 2 * gain:  # into a pole, and out of it on the other side
        return Found(
            "error",
            "loss",
            measured=f"the target itself as the output costs {part.perfect:.3g}; on the way over free outputs the loss "
            f"falls to {lowest:.3g} and then rises to {back:.3g}",
            expected="a loss that is smallest where output and target agree",
            message="the loss has a pole among the outputs: somewhere it divides by 0",
            fix=Fix("give it numbers of the kind that it wants: probabilities, where it divides by their sum"),
            value=STILL(1.0),
        )
    if value.number <= STILL.error or part.linear or end >= far:
        return value
    return Found(
        "error",
        "loss",
        measured=f"the target itself as the output costs {part.perfect:.3g}; after {len(part.descent)} steps on free "
        f"outputs the loss is {end:.3g} and still falls",
        expected="a loss that is smallest where output and target agree",
        message="the loss falls without end as outputs move away from their targets",
        fix=Fix(
            "look for a wrong sign, and for outputs that are not of the kind that the loss wants (logits for "
            "probabilities)"
        ),
        value=value,
    )
