"""What the optimizer and the loop do: settings, decay, modes, rounding, steps that are left out."""

from collections.abc import Iterator
from math import isfinite
from statistics import median

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import LOSS, watched
from gainstage.watch.history import History
from gainstage.watch.reading import Reading, number

CHANGED = Limit(5.0, "times within a report; schedules of decay and momentum move by less.")


@watched("RUN005", "warning", explains=(*LOSS, "RUN009", "RUN010", "FWD201", "FWD203", "FWD204", "BWD301", "BWD302"))
def changed_setting(history: History) -> Iterator[Found]:
    """## What it does
    Follows weight decay and momentum of the optimizers, and looks for a jump of five times between two reports:
    of the decay itself, and of the memory 1 / (1 - momentum).

    ## Why is this bad?
    Weight decay a hundred times as strong pulls weights to 0 against the signal; a momentum of 0.999 steers by
    gradients a thousand steps old. Both show in the loss long after they were set.

    ## Known problems
    A jump on purpose is reported all the same, once.

    ## References
    Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019.
    """
    for before, now in zip(history.readings, history.readings[1:], strict=False):
        pairs = [("weight decay", a, b, a, b) for a, b in zip(before.decay, now.decay, strict=False)]
        pairs += [
            ("momentum", a, b, 1 / max(1 - a, 1e-9), 1 / max(1 - b, 1e-9))
            for a, b in zip(before.momentum, now.momentum, strict=False)
        ]
        for name, a, b, small, large in pairs:
            if small > 0 and large > CHANGED * small:
                share = pull(now)
                pulls = f"; it is {share:.1%} of each step" if name == "weight decay" and isfinite(share) else ""
                yield Found(
                    "warning",
                    "optimizer",
                    measured=f"{name} {a:.3g} until step {before.step}, {b:.3g} at step {now.step}{pulls}",
                    expected=f"no jump beyond {CHANGED:g} times",
                    message="weight decay works against the signal since"
                    if name == "weight decay"
                    else "steps follow gradients of long ago since",
                    fix=Fix(f"go back to {name} {a:.3g}"),
                )
                return


def pull(reading: Reading) -> float:
    """Share of a step that is decay: rate times decay times weight over update, or decay times weight over gradient."""
    if not reading.decay or not reading.rate:
        return float("nan")
    total = [0.0, 0.0, 0.0]
    for p in reading.parameters.values():
        for place, value in enumerate((p.weight, p.update, p.gradient)):
            total[place] += number(value) ** 2
    weight, update, gradient = (t**0.5 for t in total)
    decay, rate = max(reading.decay), max(reading.rate)
    whole = update if reading.decoupled else gradient
    return (rate if reading.decoupled else 1.0) * decay * weight / whole if whole else float("nan")


@watched("OPT809", "warning", explains=(*LOSS, "NRM404", "FWD201", "FWD204", "FWD206", "OPT815", "BWD301", "BWD302"))
def evaluation_mode(history: History) -> Iterator[Found]:
    """## What it does
    Looks at each report whether dropout and batch normalization are in training mode when a step is made.

    ## Why is this bad?
    After an evaluation without `model.train()` dropout does nothing, and batch normalization uses statistics that are
    no longer updated.

    ## Known problems
    Layers that are in evaluation mode from the start (a frozen backbone) are not reported.

    ## References
    PyTorch documentation, `torch.nn.Module.train`.
    """
    modes = [(r.step, r.training) for r in history.readings if r.training is not None]
    if modes and modes[-1][1] is False and any(mode for _, mode in modes):
        first = next(s for s, mode in reversed(modes) if mode)
        yield Found(
            "warning",
            "model",
            measured=f"training mode until step {first}, evaluation mode at step {modes[-1][0]}",
            expected="training mode at every step",
            message="steps are made in evaluation mode",
            fix=Fix("call model.train() at the beginning of every epoch"),
        )


PULL = Limit(0.5, "of a step; benchmarks/results/watch_limits.txt: at most 0.33 (SGD on digits).")
SHRUNK = Limit(0.5, "of the largest norm of all weights so far.")


@watched("RUN010", "warning", explains=("RUN003", "RUN006", "RUN007", "FWD201", "BWD301", "RUN009"))
def decay_against_signal(history: History) -> Iterator[Found]:
    """## What it does
    Compares the part of each step that is weight decay with the whole step, and looks whether weights shrink by it
    while the loss no longer falls.

    ## Why is this bad?
    Where decay takes more than the gradient gives, weights go to 0 and what was learned goes with them.

    ## Known problems
    Of several groups the strongest decay is taken. Weights that start too large may well shrink: the loss falls then,
    and nothing is reported.

    ## References
    Loshchilov, Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019. Andriushchenko et al., *Why Do We Need
    Weight Decay in Modern Deep Learning?*, NeurIPS 2024.
    """
    steps, weights = history.curves("parameters", "weight").total()
    last = history.readings[-3:]
    shares = [pull(r) for r in last if r.parameters]
    if len(steps) < 6 or len(shares) < 3 or not min(shares) > PULL or not weights[-1] < SHRUNK * weights.max():
        return
    half = int(steps[weights >= SHRUNK * weights.max()][-1])
    before = [s.loss for s in history.steps if s.step <= half][-30:]
    after = [s.loss for s in history.steps if s.step > half][-30:]
    if len(before) < 10 or len(after) < 10 or not median(after) > 0.98 * median(before):
        return
    yield Found(
        "warning",
        "optimizer",
        measured=f"decay is {shares[-1]:.0%} of each step; the norm of all weights fell from {weights.max():.3g} to "
        f"{weights[-1]:.3g}, the loss went from {median(before):.3g} to {median(after):.3g} since step {half}",
        expected=f"below {PULL:.0%} of a step, or a loss that falls",
        message=f"since about step {half} weight decay takes more than the gradient gives",
        fix=Fix(f"lower weight decay ({max(history.now.decay):.3g}) by a factor of 10"),
    )


SKIPPED = Limit(8, "steps left out in a row after the scaler has found its scale.")
FOUND = 20  # steps made, after which it has


@watched("BWD304", "error", explains=("RUN006", "RUN003", "FWD206"))
def overflow(history: History) -> Iterator[Found]:
    """## What it does
    Counts the steps that a gradient scaler leaves out because a gradient is infinite or NaN.

    ## Why is this bad?
    Nothing is learned while every step is left out, and each halves the scale until small gradients vanish.

    ## Known problems
    The first steps, in which a scaler finds its scale, are not counted.

    ## References
    Micikevicius et al., *Mixed Precision Training*, ICLR 2018.
    """
    for before in reversed(history.readings[:-1]):
        now = history.now
        steps, skipped = now.step - before.step, now.skipped - before.skipped
        if steps and skipped >= SKIPPED and skipped >= 0.8 * steps and before.step - before.skipped >= FOUND:
            yield Found(
                "error",
                "scaler",
                measured=f"{skipped} of the {steps} steps since step {before.step} were left out, the scale is "
                f"{now.scale:.3g}",
                expected="one left out now and then",
                message=f"since about step {before.step} gradients overflow in half precision",
                fix=Fix("find the largest activation (watch.readings[-1].sites), use bfloat16, or lower the rate"),
            )
            return


LOST = Limit(0.9, "of the entries; a step below half a unit in the last place changes nothing.")


@watched("OPT819", "warning")
def rounded_step(history: History) -> Iterator[Found]:
    """## What it does
    Counts the entries of parameters in half precision that a step leaves bit for bit as they were.

    ## Why is this bad?
    bfloat16 has 8 bits: an update below 1/512 of the weight is rounded away, however often it is made.

    ## References
    Zamirai et al., *Revisiting BFloat16 Training*, 2020.
    """
    if len(history.readings) < 3:
        return
    last = history.readings[-2:]
    names = [
        name
        for name in history.now.parameters
        if all(name in r.parameters and number(r.parameters[name].lost) > LOST for r in last)
        and all(number(r.parameters[name].gradient) > 0 for r in last)
    ]
    if names:
        yield Found(
            "warning",
            names[0],
            measured=f"{number(history.now.parameters[names[0]].lost):.0%} of its entries stay as they are; so in "
            f"{len(names)} parameters",
            expected=f"below {LOST:.0%}",
            message="the updates are below the rounding of half precision",
            fix=Fix("keep the parameters in float32 (autocast), or round stochastically"),
        )
