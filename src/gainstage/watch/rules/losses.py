"""What the loss itself says: a bad batch, a spike, a shift that stays, a plateau."""

from collections.abc import Iterator
from math import isfinite
from statistics import mean, median

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import watched
from gainstage.watch.history import History, Step, usual

BEFORE = 60  # steps that a loss is compared with
SPIKE = Limit(10.0, "robust standard deviations above the median of the 60 steps before.")
TWICE = Limit(2.0, "times the largest loss of the 60 steps before, counted from their smallest.")
SEEN = Limit(0.25, "of the first losses: near 0 one hard sample is a spike; the benchmark's mlp reached 0.03.")
MOVED = Limit(0.05, "of the first losses.")
BACK = 6  # steps after which a lone spike is over
FALLEN = Limit(0.2, "of the height of the spike; after label noise it stays above 0.4.")
LEVEL = Limit(4.0, "times the largest sampled level of a batch before; batches of one data set differ by less than 2.")


def start(history: History) -> float:
    """The size of the losses at the first report: what a change is compared with."""
    return next((abs(r.loss) for r in history.readings if isfinite(r.loss)), 0.0)


def spikes(history: History) -> Iterator[tuple[int, Step, float, float]]:
    """Place, step, usual loss and spread of each loss that stands out from the 60 before it."""
    steps = history.steps
    new = len(history.now.losses) + BACK + 1
    for place in range(max(20, len(steps) - new), len(steps)):
        past = [s.loss for s in steps[max(0, place - BEFORE) : place] if isfinite(s.loss)]
        if len(past) < 20:
            continue
        middle, spread = usual(past)
        spread = max(spread, 0.02 * abs(middle), 1e-6)
        loss, low, high = steps[place].loss, min(past), max(past)
        tall = loss - middle > SEEN * start(history)
        if tall and loss > middle + SPIKE * spread and loss - low > TWICE * (high - low):
            yield place, steps[place], middle, spread


@watched("RUN002", "warning", explains=("RUN003",))
def bad_batch(history: History) -> Iterator[Found]:
    """## What it does
    Looks for a loss that stands out of the 60 before it for one step, and is back within six.

    ## Why is this bad?
    One batch of broken samples makes one large step in a wrong direction, and spoils momentum and the second moments
    of Adam for many more.

    ## Known problems
    Where the level of the batch was usual, its targets may be wrong, or its samples only rare.

    ## References
    Chowdhery et al., *PaLM: Scaling Language Modeling with Pathways*, 2022, section 5.1.
    """
    steps = history.steps
    for place, step, middle, spread in spikes(history):
        after = [s.loss for s in steps[place + 1 : place + 1 + BACK]]
        if len(after) < BACK or not min(after) < middle + FALLEN * (step.loss - middle):
            continue
        if any(p != place and abs(p - place) <= BACK for p, *_ in spikes(history) if p < place):
            continue
        past = [s.level for s in steps[max(0, place - BEFORE) : place] if isfinite(s.level)]
        odd = bool(past) and (not isfinite(step.level) or step.level > LEVEL * max(past))
        inputs = f"; its inputs have level {step.level:.3g}, before at most {max(past):.3g}" if odd else ""
        yield Found(
            "warning",
            f"step {step.step}",
            measured=f"loss {step.loss:.3g} at step {step.step}, {middle:.3g} before, {after[-1]:.3g} after{inputs}",
            expected=f"within {SPIKE:g} spreads ({spread:.2g}) of the steps before",
            message="the inputs of this batch are broken"
            if odd
            else "this one batch does not fit: look at its samples",
            fix=Fix(f"find what the loader gave at step {step.step}; check ranges, clip the gradient norm"),
        )


SHIFT = 12  # steps in which a loss must stay up


@watched("RUN003", "warning")
def shifted_loss(history: History) -> Iterator[Found]:
    """## What it does
    Looks for a loss that jumps within a step and stays up, while rate, settings and modes are as before.

    ## Why is this bad?
    A model does not forget between two steps: something else is asked of it since. Most often targets are wrong from
    here on: another file, shuffled labels, another preprocessing.

    ## Known problems
    A curriculum or a second data set on purpose looks the same. Causes that the watch knows by themselves are reported
    instead, and this under them.

    ## References
    Arpit et al., *A Closer Look at Memorization in Deep Networks*, ICML 2017.
    """
    steps = history.steps
    new = len(history.now.losses)
    for place in range(max(24, len(steps) - new - SHIFT), len(steps) - SHIFT + 1):
        past = [s.loss for s in steps[max(0, place - BEFORE) : place] if isfinite(s.loss)]
        after = [s.loss for s in steps[place : place + SHIFT]]
        if len(past) < 24 or not all(isfinite(v) for v in after):
            continue
        middle, spread = usual(past[-30:])
        spread = max(spread, 0.02 * abs(middle), 1e-6)
        recent = max(past[-30:])
        up = min(after) > middle + 2 * spread and median(after) > max(recent, middle + 4 * spread)
        if up and past[-1] <= recent and median(after) - middle > MOVED * start(history):
            step = steps[place].step
            yield Found(
                "warning",
                "loss",
                measured=f"{middle:.3g} before step {step}, {mean(after):.3g} in the {SHIFT} steps since",
                expected="a loss that falls, or stays",
                message="the loss has jumped and stays up, while nothing in model and optimizer has changed: the "
                "targets, or the data, are others since",
                fix=Fix(f"compare the batches, and their targets, of before and after step {step}"),
            )
            return


FLAT = Limit(0.98, "of the first losses; healthy nets of the tests are below 0.9 after 300 steps.")
QUIET = Limit(1e-3, "of the norm of the first gradients.")


@watched("RUN006", "note")
def plateau(history: History) -> Iterator[Found]:
    """## What it does
    Looks after 300 steps whether the loss has come down from its start at all; if not, whether gradients are alive.

    ## Why is this bad?
    With dead gradients nothing can change: saturation, dead units, a detached part. With live ones the steps lead
    nowhere: the rate is too small or too large, or inputs and targets do not belong together.

    ## Known problems
    Losses of adversarial and of policy networks need not fall: this is a note.

    ## References
    Goodfellow et al., *Deep Learning*, 2016, section 8.2.
    """
    losses = [s.loss for s in history.steps if isfinite(s.loss)]
    if history.now.step < 300 or history.steps[0].step > 1 or len(losses) < 300:
        return
    first, last = mean(losses[:10]), mean(losses[-50:])
    if not (first > 0 and last > FLAT * first):
        return
    norms = history.curves("parameters", "gradient").total()[1]
    alive = not len(norms) or bool(norms[-1] > QUIET * norms[0])
    yield Found(
        "note",
        "loss",
        measured=f"{first:.3g} in the first steps, {last:.3g} in the last 50 of {history.now.step}; "
        f"gradient norm {norms[0]:.2g}, now {norms[-1]:.2g}"
        if len(norms)
        else f"{first:.3g}, now {last:.3g}",
        expected="a loss that falls",
        message="gradients are alive and lead nowhere: the rate, or the pairing of inputs and targets"
        if alive
        else "gradients are dead: nothing can be learned from here",
        fix=Fix("overfit one batch; try rates 10 times smaller and larger" if alive else "check the start: gs.check"),
    )


@watched("RUN011", "warning")
def overfitting(history: History) -> Iterator[Found]:
    """## What it does
    Compares the training loss with a metric that was logged as `validation` (`watch.log(validation=...)`).

    ## Why is this bad?
    Training loss that falls while the validation loss rises is memory, not learning.

    ## Known problems
    Validation loss of a classifier may rise by overconfidence while its accuracy still improves.

    ## References
    Prechelt, *Early Stopping - But When?*, 1998.
    """
    series = [(r.step, r.metrics["validation"], r.loss) for r in history.readings if "validation" in r.metrics]
    changed = [row for row, before in zip(series[1:], series, strict=False) if row[1] != before[1]]
    rows = series[:1] + changed
    if len(rows) < 5:
        return
    best = min(range(len(rows)), key=lambda i: rows[i][1])
    rising = rows[best:]
    if len(rising) >= 4 and rising[-1][1] > 1.05 * rising[0][1] and rising[-1][2] < rising[0][2]:
        yield Found(
            "warning",
            "validation",
            measured=f"{rising[0][1]:.3g} at step {rising[0][0]}, {rising[-1][1]:.3g} now; training loss "
            f"{rising[0][2]:.3g}, {rising[-1][2]:.3g} now",
            expected="both fall",
            message=f"since step {rising[0][0]} the model learns its training data by heart",
            fix=Fix("stop there (gs.train.EarlyStopping), or regularize: mixup, dropout, more data"),
        )
