"""Rules about dropout: its rate, its place, and whether evaluation mode switches it off."""

from collections.abc import Iterator

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.dropout import Drop, drops, ends_at_output, in_evaluation
from gainstage.check.facts.limits import DROPOUT_RATE
from gainstage.check.findings import Found, Severity, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.signal import ops

KEPT = Quantity(
    "units that a sample keeps on average",
    warning=Limit(16.0, "Digits, width 64: 0.92 with 19, 0.83 with 13, 0.55 with 6; 0.96 with all."),
    error=Limit(4.0, "Digits: 0.12 = chance with 3 of 64, 0.46 with 3 of 16."),
)


@rule("REG701", "warning")
def dropout_rate(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks at every active dropout: its rate, and how many units a sample keeps on average.

    ## Why is this bad?
    Of a layer that keeps a handful of units the next one reads mostly noise: on digits two layers of 64 units learn to
    0.96, 0.83 at a rate of 0.8, and 0.12, chance, at 0.95. The usual reason is a rate that was meant as the
    share to *keep* (`keep_prob` of TensorFlow 1).

    ## Known problems
    One dropout of 0.8 before the output head of a wide network (TSN) does little harm, and is a note.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 4))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 4))
    ```

    ## References
    Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks from Overfitting*, JMLR 2014, section 7.3
    (the best rates of hidden units lie between 0.2 and 0.6).
    """
    for drop in _active(evidence):
        kept = (1 - drop.rate) * drop.units
        if drop.rate < DROPOUT_RATE.note:
            yield from (DROPOUT_RATE(drop.rate, drop.site.name), KEPT(kept, drop.site.name))
            continue
        severity: Severity = "note"
        if drop.rate >= DROPOUT_RATE.warning or kept < KEPT.warning:
            severity = "error" if kept < KEPT.error and evidence.cut(drop.site.index) else "warning"
        yield Found(
            severity,
            drop.site.name,
            measured=f"rate {drop.rate:g}: of {drop.units} units a sample keeps {kept:.3g}",
            expected=f"a rate below {DROPOUT_RATE.note:g}; hidden layers use 0.1 to 0.5",
            message="nothing passes in training"
            if drop.rate == 1
            else "what is kept is multiplied by "
            f"{1 / (1 - drop.rate):.3g}, and the next layer reads mostly the noise of the choice",
            fix=evidence.fix(f"p is the share to drop: write p={1 - drop.rate:.2g} if {drop.rate:g} was to keep", []),
            value=KEPT(kept) if kept < KEPT.warning else DROPOUT_RATE(drop.rate),
        )


@rule("REG702", "warning", explains=("REG701",), no_number="a dropout stands behind the output head, or it does not")
def dropout_on_output(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Finds dropout between the last weight and the loss: it works on the logits or predictions themselves.

    ## Why is this bad?
    In training each prediction is 0 with the dropout's rate, and too large by 1 / (1 - p) otherwise. No weight can
    make that right: a regression cannot come below `p` times the mean square of its targets, and a classifier's
    loss counts logits that are not there.

    ## Known problems
    Judged only where the loss is known. Classifiers still learn (digits, 300 steps: 0.95 with, 0.96 without), so there
    it is a note; regressions do not reach their targets: a warning.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4), nn.Dropout(0.5))
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
    ```

    ## References
    Srivastava et al., *Dropout*, JMLR 2014: dropout is for the units that are read, not for the outputs.
    """
    active = _active(evidence)
    evidence.loss_measured()
    for drop in active:
        if ends_at_output(evidence, drop):
            classes = any(ops.of(s).compares in ("classes", "binary") for s in evidence.tape.sites)
            yield Found(
                "note" if classes and drop.rate < DROPOUT_RATE.warning else "warning",
                drop.site.name,
                measured=f"each output is dropped with probability {drop.rate:g}",
                expected="no dropout behind the output head",
                message=f"in training the loss sees outputs that are 0 or {1 / max(1 - drop.rate, 1e-9):.3g} times "
                "too large, which no weight can correct",
                fix=evidence.fix("move this dropout in front of the output head", []),
            )


CHANGE = Quantity(
    "change of the outputs in evaluation mode by dropout, over their differences between samples",
    warning=Limit(1e-3, "Without dropout both runs are equal bit by bit."),
)


@rule("REG703", "warning")
def dropout_in_evaluation(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Where dropout is not a layer of `torch.nn`, runs the model in evaluation mode with and without it, from the same
    random state, and compares the outputs.

    ## Why is this bad?
    `F.dropout(x, p)` drops whenever it is called; `model.eval()` does not reach it. Predictions are then random and
    worse than the model.

    ## Known problems
    Monte Carlo dropout does this on purpose: ignore the rule there.

    ## Example
    ```python
    class Careless(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 64), nn.Linear(64, 4)

        def forward(self, x):
            return self.second(F.dropout(torch.relu(self.first(x)), 0.5))

    model = Careless()
    ```

    ## Use instead
    ```python
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(8, 64), nn.Linear(64, 4)

        def forward(self, x):
            return self.second(F.dropout(torch.relu(self.first(x)), 0.5, training=self.training))

    model = Careful()
    ```

    ## References
    PyTorch documentation, `torch.nn.functional.dropout`: `training` is True by default.
    """
    _active(evidence)
    unsteady = in_evaluation(evidence)
    value = CHANGE(unsteady.change if unsteady is not None else 0.0)
    if unsteady is None or value.number < CHANGE.warning:
        yield value
        return
    yield Found(
        "warning",
        unsteady.drops[0].site.name,
        measured=f"in evaluation mode dropout of {unsteady.drops[0].rate:g} changes the outputs by "
        f"{unsteady.change:.2g} of their differences between samples",
        expected="no change: dropout is for training",
        message="a functional dropout is always on, so predictions are random",
        fix=evidence.fix("write F.dropout(x, p, training=self.training), or use nn.Dropout(p)", []),
        value=value,
    )


def _active(evidence: Evidence) -> list[Drop]:
    evidence.measured()
    found = drops(evidence)
    if not found:
        raise NotMeasured("no dropout is switched on in this pass")
    return found
