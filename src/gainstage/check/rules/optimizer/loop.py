"""Rules about what a training loop does around its steps: modes, clipping, schedules."""

from collections.abc import Iterator
from itertools import pairwise

from torch.nn.modules.batchnorm import _BatchNorm

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.facts.running import layers, untouched
from gainstage.check.facts.steps import completed
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import plain_loop, plain_training


@rule(
    "OPT809",
    "warning",
    explains=("OPT804", "OPT815", "OUT501", "NRM404", "FWD203"),
    no_number="the model is in training mode, or it is not",
)
def training_in_eval_mode(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks in which mode the model's dropout and batch normalization are when `train_step` runs it.

    ## Why is this bad?
    In evaluation mode dropout does nothing and batch normalization uses statistics that are never updated: at the start
    those are 0 and 1, whatever the data.

    ## Known problems
    Some layers in evaluation mode (a frozen backbone) are not reported. If the model is in evaluation mode before and
    `train_step` leaves it there, this is a note: `model.train()` may be called elsewhere; a warning where a
    batch normalization that is trained divides by statistics that no batch has set.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            model(x)
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        model.train()
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            model(x)
        return value
    ```

    ## References
    PyTorch documentation, `torch.nn.Module.train`.
    """
    step = completed(evidence)
    modes = [call.evaluating for call in step.calls]
    if modes[-1] is None:
        raise NotMeasured("train_step does not call the model itself")
    if not modes[-1]:
        return
    unset = [path for path, layer in layers(evidence.model).items() if _unset(layer)]
    yield Found(
        "warning" if step.was_training or unset else "note",
        "train_step",
        measured="every dropout and batch normalization is in evaluation mode"
        + (" from the second call on" if not modes[0] else "")
        + (f"; {unset[0]} divides by statistics that no batch has set" if unset else ""),
        expected="training mode",
        message="train_step leaves the model in evaluation mode"
        if step.was_training
        else "the model is in evaluation mode, and train_step does not change that",
        fix=evidence.fix("call model.train() at the beginning of every training step", [], plain_training),
    )


def _unset(layer: _BatchNorm) -> bool:
    """Whether a layer that is trained is in evaluation mode, with the statistics that it began with."""
    trained = any(p.requires_grad for p in layer.parameters(recurse=False))
    return trained and not layer.training and untouched(layer)


CLIPPED = Quantity(
    "norm of the gradient as it arrives over as it is used",
    note=Limit(100.0, "Of the zoo, clipped at 1, 0.07 to 14 (5 and 95 %); highest 1e4 (DeiT)."),
)


@rule("OPT813", "warning", explains=("OPT804", "OPT805", "OPT815"))
def clipped_gradient(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the norm of the gradient that arrives with that of the gradient that the optimizer uses in `train_step`,
    and hears when `clip_grad_norm_` is called: before `backward`, after the step, or while a scaler still scales.

    ## Why is this bad?
    Clipping that cuts every gradient down a hundredfold is a change of the learning rate rather than a guard against
    rare large ones.

    ## Known problems
    Sixteen steps at the start are seen; gradients often shrink later. Optimizers that divide by the gradient's size
    (Adam) hardly notice: with them it is a note. A clipping function that was imported by its name is not heard.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        optimizer.step()
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return value
    ```

    ## References
    Pascanu, Mikolov, Bengio, *On the Difficulty of Training Recurrent Neural Networks*, ICML 2013.
    """
    step = completed(evidence)
    calls = [call for call in step.calls if call.stepped]
    if not calls:
        raise NotMeasured("train_step uses no optimizer of torch's")
    wrong = [moment for call in calls for moment in call.clips if moment]
    value = CLIPPED(min(call.arrived / call.used if call.used else 0.0 for call in calls), "train_step")
    unscaled = step.scale > 1 and all(call.limit and call.used <= 1.01 * call.limit / step.scale for call in calls)
    first = calls[0]
    if wrong and len(wrong) == sum(len(call.clips) for call in calls):
        yield Found(
            "warning",
            "train_step",
            measured=f"gradients are clipped {wrong[0]}, in {len(calls)} calls of {len(calls)}: the optimizer uses a "
            f"norm of {first.used:.3g}, for a limit of {first.limit:g}",
            expected="backward, then clip, then step",
            message="there is nothing to clip at that moment, and what the optimizer uses is not clipped",
            fix=evidence.fix("call clip_grad_norm_ between backward() and optimizer.step()", [], plain_loop),
        )
    elif not value.number > CLIPPED.note:
        yield value
    else:
        rescales = any("betas" in group or "alpha" in group for o in step.optimizers for group in o.param_groups)
        yield Found(
            "note" if rescales else "warning",
            "train_step",
            measured=f"a gradient of norm {first.arrived:.3g} is cut down to {first.used:.3g}, in {len(calls)} steps "
            f"of {len(calls)}"
            + (f"; that is the limit {first.limit:g} over the scale of the loss, {step.scale:g}" if unscaled else ""),
            expected=f"less than {CLIPPED.note:.0f} times smaller",
            message="the gradient is clipped while it is scaled, and unscaled after it"
            if unscaled
            else "clipping always bites: the learning rate is in effect "
            f"{first.arrived / first.used:,.0f} times smaller"
            + (" where the optimizer does not rescale gradients" if rescales else ""),
            fix=evidence.fix(
                "call scaler.unscale_(optimizer) before clip_grad_norm_"
                if unscaled
                else f"clip at about {first.arrived:.1g}, and set the step by the learning rate",
                [],
                plain_loop,
            ),
            value=value,
        )


FALL = Quantity(
    "learning rate over that of the step before",
    warning=Limit(0.96, "After 100 such steps 0.96^100 = 0.02 of it is left."),
)


@rule("OPT816", "warning", explains=("OPT805",))
def falling_rate(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Compares the learning rates of the calls of `train_step`, each with the one before.

    ## Why is this bad?
    A schedule that is meant for epochs (`StepLR`, `ExponentialLR`) and stepped after every batch brings the learning
    rate down to nothing within the first hundred batches.

    ## Known problems
    Sixteen steps are seen: a schedule that falls later is not.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)

    def train_step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        schedule.step()
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.999)

    def train_step():
        optimizer.zero_grad()
        value = loss(model(x), y)
        value.backward()
        optimizer.step()
        schedule.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.optim`, *How to adjust learning rate*.
    """
    rates = [call.rates for call in completed(evidence).calls if call.rates]
    if len(rates) < 2 or len({len(found) for found in rates}) > 1:
        raise NotMeasured("train_step does not step the same optimizers twice")
    pairs = [pair for before, after in pairwise(rates) for pair in zip(before, after, strict=True)]
    falls = [(a, b, b / a) for a, b in pairs if a > 0]
    whole = min((b / a for a, b in zip(rates[0], rates[-1], strict=True) if a > 0), default=1.0)
    worst = min(falls, key=lambda fall: fall[2], default=None)
    if worst is not None and worst[2] >= FALL.warning:
        yield FALL(worst[2], "train_step")
    elif worst is not None:
        yield Found(
            "warning",
            "train_step",
            measured=f"the learning rate falls from {worst[0]:.3g} to {worst[1]:.3g} within one step",
            expected=f"above {FALL.warning:g} of it",
            message=f"at this pace it is {whole ** (100 / (len(rates) - 1)):.0e} of its start after 100 steps: "
            "the schedule is stepped once a batch",
            fix=evidence.fix("step the schedule once an epoch, or give it the number of steps", [], plain_loop),
            value=FALL(worst[2]),
        )
