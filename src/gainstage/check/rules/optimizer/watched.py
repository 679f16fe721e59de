"""Rules about what a call of `train_step` did or left out."""

from collections.abc import Iterator
from math import isfinite

from gainstage.check._registry import NotMeasured, rule
from gainstage.check.evidence import Evidence
from gainstage.check.experiments.own_step import OwnStep
from gainstage.check.facts.steps import completed, held, own, scheduled, virtual
from gainstage.check.findings import Found, Value
from gainstage.check.quantity import Limit, Quantity
from gainstage.check.repairs import plain_loop

STILL_ZERO = Limit(16, "Steps in a row at a rate of 0: a warm-up that starts at 0 leaves it with its first step.")
HELD = Quantity(
    "share of the parameters that still hold the gradient of the step before",
    error=Limit(0.0, "One is enough to go along old gradients."),
)


@rule("OPT807", "error", explains=("OPT804", "OPT813"))
def kept_gradients(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Runs `train_step` twice and looks, when the second backward pass begins, whether the gradients of the first, which
    have been used for a step, are still there.

    ## Why is this bad?
    `backward()` adds to `.grad`. Without `zero_grad()` every step goes along the sum of all gradients since the start,
    which is momentum that never fades: training swings or diverges.

    ## Known problems
    Loops that accumulate over several calls before they step are recognized and not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        value = loss(model(x), y)
        value.backward()
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
        optimizer.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.optim.Optimizer.zero_grad`.
    """
    step = completed(evidence)
    for before, after in zip(step.calls, step.calls[1:], strict=False):
        kept = sorted(after.held & before.stepped & before.reached)
        value = HELD(len(kept) / max(len(after.reached), 1), "train_step")
        if not kept:
            yield value
        else:
            yield Found(
                "error",
                kept[0],
                measured=f"{len(kept)} of {len(after.reached)} parameters still hold the gradient of the step before "
                "when the next backward pass begins",
                expected="gradients that are zero or None",
                message="nothing zeroes the gradients: each step goes along the sum of all gradients so far",
                fix=evidence.fix("call optimizer.zero_grad() before backward()", [], plain_loop),
                value=value,
            )
            return


@rule("OPT808", "error", explains=("OPT805", "OPT813", "OPT819"), no_number="the parameters change, or they do not")
def no_step(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Runs `train_step` and looks whether it completes and whether any parameter of the model has changed; if not, says
    which link is missing: the backward pass, a gradient that is not zero, the gradient at the time of the step, or the
    step.

    ## Why is this bad?
    The loop runs, the loss is printed, and nothing is learned.

    ## Known problems
    A loop that makes no step in 16 calls is taken for one that makes none. A learning rate that a schedule starts
    at 0, if it leaves that within 16 steps, and a step that a gradient scaler skips are not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        value = loss(model(x), y)
        value.backward()
        optimizer.zero_grad()
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
        optimizer.step()
        return value
    ```

    ## References
    PyTorch documentation, `torch.optim`, *Taking an optimization step*.
    """
    step = own(evidence)
    if step.error:
        yield Found(
            "error",
            "train_step",
            measured=f"call {len(step.calls)} raised {step.error}",
            expected="a step that completes",
            message="train_step does not complete, so nothing is trained",
            fix=evidence.fix(_remedy(step.error), []),
        )
        return
    if step.moved or not evidence.trainable or (step.skipped and step.optimizers):
        return
    still = step.optimizers and all(
        float(g["lr"]) == 0 and scheduled(o) for o in step.optimizers for g in o.param_groups
    )
    if still and sum(bool(call.rates) for call in step.calls) < STILL_ZERO:
        raise NotMeasured("the learning rate is 0 at present, by a schedule")
    members = held(evidence) if step.optimizers else set[int]()
    missing, fix = _missing_link(step, any(id(p) in members for p in evidence.trainable.values()))
    yield Found(
        "error",
        "train_step",
        measured=f"after {len(step.calls)} calls every parameter is bit for bit as before: {missing}",
        expected="parameters that change",
        message="train_step trains nothing in this model",
        fix=evidence.fix(fix, []),
    )


def _missing_link(step: OwnStep, holds: bool) -> tuple[str, str]:
    """What is missing between a backward pass and a change, and how to put it there."""
    reached = set[str]().union(*(call.reached for call in step.calls))
    stepped = set[str]().union(*(call.stepped for call in step.calls))
    if not reached:
        return (
            "no backward pass reaches any of them",
            "call loss.backward() on a loss that is computed from this model, without detach, item or no_grad",
        )
    if step.flat:
        return "the gradient that arrives is exactly zero", "find what the gradient is lost in: saturation, clamping"
    if not step.optimizers:
        return "the gradient arrives and no optimizer makes a step", "call optimizer.step() after backward()"
    if not holds:
        return "the optimizer that steps holds none of them", "build the optimizer from model.parameters()"
    if not stepped:
        return (
            "the gradient arrives, and is gone when the optimizer steps",
            "call optimizer.zero_grad() before backward(), not between backward() and step()",
        )
    if all(rate == 0 for call in step.calls for rate in call.rates):
        return "the optimizer steps with a learning rate of 0", "set a learning rate above 0"
    return "the optimizer steps by less than rounding", "raise the learning rate, or keep the parameters in float32"


def _remedy(error: str) -> str:
    if "does not require grad" in error:
        return "compute the loss from the model's output without detach, item, argmax or no_grad"
    if "second time" in error:
        return "compute the loss anew in every step instead of keeping its graph: detach what is carried over"
    return "repair the exception"


@rule("OPT815", "error", no_number="numbers are finite, or they are not")
def non_finite_step(evidence: Evidence) -> Iterator[Found | Value]:
    """## What it does
    Looks for NaN and infinity in what `train_step` returns, and in the parameters after a step.

    ## Why is this bad?
    One NaN in a parameter makes every later output NaN.

    ## Known problems
    Steps that a gradient scaler skips because half precision overflowed are not reported.

    ## Example
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        optimizer.zero_grad()
        probabilities = model(1e4 * x).softmax(1)
        value = -probabilities[torch.arange(64), y].log().mean()
        value.backward()
        optimizer.step()
        return value
    ```

    ## Use instead
    ```python
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def train_step():
        optimizer.zero_grad()
        value = F.cross_entropy(model(x), y)
        value.backward()
        optimizer.step()
        return value
    ```

    ## References
    IEEE 754-2019, section 7.
    """
    if evidence.train_step is not None:
        step = completed(evidence)
        losses = [call.loss for call in step.calls if call.loss is not None]
        if step.broken or not all(isfinite(loss) for loss in losses):
            shown = ", ".join(f"{loss:.4g}" for loss in losses)
            yield Found(
                "error",
                min(step.broken, default="train_step"),
                measured=f"train_step returns {shown}; {len(step.broken)} parameters are NaN or infinite afterwards",
                expected="finite numbers",
                message="training breaks within two steps",
                fix=evidence.fix("lower the learning rate; look for divisions and logarithms at 0 in the loss", []),
            )
            return
    broken = [name for name, move in virtual(evidence).moves.items() if not move.finite]
    if broken and all(bool(g.to_dense().isfinite().all()) for g in evidence.gradients.values()):
        yield Found(
            "error",
            broken[0],
            measured=f"{len(broken)} parameters are NaN or infinite after one step with a finite gradient",
            expected="finite numbers",
            message="the optimizer's own arithmetic breaks: the learning rate is too large, or in half precision its "
            "epsilon is rounded to 0",
            fix=evidence.fix("lower the learning rate, raise eps to 1e-4, or keep the parameters in float32", []),
        )
