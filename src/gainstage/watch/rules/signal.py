"""What the sites say: numbers that are not finite, dead units, samples that become one, attention, routers."""

from collections.abc import Iterator
from math import isinf

import numpy as np

from gainstage.check import Fix, Found, Limit
from gainstage.watch._registry import LOSS, watched
from gainstage.watch.history import History
from gainstage.watch.reading import number


@watched("FWD206", "error", explains=(*LOSS, "OPT815", "BWD303", "FWD204", "FWD201"))
def non_finite_site(history: History) -> Iterator[Found]:
    """## What it does
    Finds the first site whose output has NaN or infinite entries. On the CPU the pass of the first loss that is not
    finite is run again, before its step, and every operation is looked at; elsewhere the sites of the last report tell.

    ## Why is this bad?
    One NaN in a parameter makes every later output NaN.

    ## References
    IEEE 754-2019, section 7.
    """
    curves = history.curves("sites", "nonfinite")
    suspects = set(curves.steps[(curves.values > 0).any(1)])
    for now in history.readings:
        if not now.broken and now.step not in suspects:
            continue
        named = now.broken or next((n for n, s in now.sites.items() if number(s.nonfinite) > 0), "")
        if not named or named == "?":
            continue
        step = min(now.nonfinite, default=now.step)
        earlier = [r.step for r in history.readings if named in r.sites and r.step < step]
        since = f"; finite at step {earlier[-1]}" if earlier else ""
        yield Found(
            "error",
            named,
            measured=f"NaN or infinite entries at step {step}{since}",
            expected="finite numbers",
            message="this is the first site whose output is not finite",
            fix=Fix("look at its inputs: a division or logarithm at 0, an overflow of half precision, a broken sample"),
        )
        return


@watched("OPT815", "error", explains=LOSS)
def non_finite_loss(history: History) -> Iterator[Found]:
    """## What it does
    Looks for a loss that is NaN or infinite, and for the step at which it came.

    ## Why is this bad?
    Its gradient makes every parameter NaN.

    ## References
    IEEE 754-2019, section 7.
    """
    bad = [s for s in history.steps if isinf(s.loss)]
    if bad and history.now.skipped == 0:
        yield Found(
            "error",
            "loss",
            measured=f"not finite at step {bad[0].step}",
            expected="finite numbers",
            message="training is broken from here on",
            fix=Fix("go back to a checkpoint before, with a lower rate; leave out the batch"),
        )


DEAD = Limit(0.8, "of the units; healthy nets of the tests: at most 0.56.")
RISE = Limit(0.4, "above the first reports.")


@watched("FWD204", "error", explains=(*LOSS, "BWD303", "FWD201", "FWD203", "BWD301", "RUN009"))
def dead_units(history: History) -> Iterator[Found]:
    """## What it does
    Counts behind every rectifier the units that were 0 or less for every sample of the last five reports.

    ## Why is this bad?
    Such units get no gradient and never come back.

    ## Known problems
    A unit that is silent for most samples is not dead. What was dead at the first reports is the start's: `gs.check`.

    ## References
    Lu et al., *Dying ReLU and Initialization*, 2020.
    """
    curves = history.curves("sites", "dead")
    first = curves.first().min(0, initial=np.inf)
    beyond = curves.values > np.maximum(DEAD, np.minimum(first + RISE, 0.99))
    for name, place, step, reports in curves.stretches(beyond):
        if reports >= 2 and first[place] < DEAD and curves.settled[place]:
            yield Found(
                "error",
                name,
                measured=f"{curves.last[place]:.0%} of the units are dead since about step {step}, "
                f"{first[place]:.0%} at first",
                expected=f"at most {DEAD:.0%}",
                message="most units of this layer died in training",
                fix=Fix("lower the rate or warm it up; use GELU or leaky ReLU; look at the biases in front"),
            )


COLLAPSED = Limit(1e-5, "of the mean square; at the start above 1e-2.")


@watched("FWD201", "error", explains=LOSS)
def collapsed_samples(history: History) -> Iterator[Found]:
    """## What it does
    Follows at every site how much samples differ, and finds where they became alike.

    ## Why is this bad?
    A layer that gives the same for every sample has lost its input, and all behind it has.

    ## References
    Jing et al., *Understanding Dimensional Collapse in Contrastive Self-supervised Learning*, ICLR 2022.
    """
    curves = history.curves("sites", "between")
    first = curves.first()
    for name, place, step, reports in curves.stretches(curves.values < COLLAPSED):
        if reports >= 2 and curves.settled[place] and first[:, place].min() > 1e-2:
            yield Found(
                "error",
                name,
                measured=f"between samples varies {curves.last[place]:.1e} of the mean square, "
                f"{first[0, place]:.2g} at first",
                expected=f"above {COLLAPSED:g}",
                message=f"since about step {step} all samples look alike here",
                fix=Fix("go back to before; lower rate or decay, or a loss that keeps samples apart"),
            )
            return


LOUD = Limit(100.0, "times the start; benchmarks/results/watch_limits.txt: at most 26.")


@watched("FWD203", "warning", explains=(*LOSS, "FWD206", "OPT815", "BWD302"))
def exploding_signal(history: History) -> Iterator[Found]:
    """## What it does
    Follows the level of every site, and finds the first that has left the one it started with by far.

    ## Why is this bad?
    A stream that grows drowns what later blocks add to it, and ends in an overflow of half precision.

    ## Known problems
    What starts at 0 (a last layer, a zero-initialized branch) is not judged.

    ## References
    Bjorck et al., *Understanding Batch Normalization*, NeurIPS 2018. Wortsman et al., *Small-scale Proxies for
    Large-scale Transformer Training Instabilities*, ICLR 2024.
    """
    curves = history.curves("sites", "rms")
    first = curves.first().max(0, initial=0.0)
    loud = curves.stretches(curves.values > LOUD * np.maximum(first, 1e-2))
    loud = [s for s in loud if s.reports >= 2 and curves.settled[s.place]]
    if loud:
        name, place, step, _ = min(loud, key=lambda s: (s.step, s.place))
        yield Found(
            "warning",
            name,
            measured=f"level {curves.last[place]:.3g}, {first[place]:.3g} at the start; so at {len(loud)} of "
            f"{len(curves.names)} sites",
            expected=f"within {LOUD:g} times of the start",
            message=f"since about step {step} the signal explodes; this site was the first",
            fix=Fix("lower the rate; a norm behind the branch, or weight decay on the weights in front"),
        )


SHARP = Limit(0.15, "of the entropy of equal weights; healthy nets of the tests: above 0.3.")
LOGIT = Limit(8.0, "times those of the first reports, and above 30.")


@watched("FWD208", "warning", explains=(*LOSS, "FWD203", "BWD301", "BWD302"))
def saturated_attention(history: History) -> Iterator[Found]:
    """## What it does
    Follows the entropy of attention weights and the largest logit in front.

    ## Why is this bad?
    Logits that grow make attention look at one key only; its gradient is 0, and the loss diverges soon after.

    ## References
    Zhai et al., *Stabilizing Transformer Training by Preventing Attention Entropy Collapse*, ICML 2023. Dehghani et
    al., *Scaling Vision Transformers to 22 Billion Parameters*, ICML 2023, section 2.
    """
    entropy, logits = history.curves("attentions", "entropy"), history.curves("attentions", "logit")
    wide, small = entropy.first().min(0, initial=np.inf), logits.first().max(0, initial=0.0)
    sharp = entropy.stretches(entropy.values < np.minimum(SHARP, 0.5 * wide))
    large = logits.stretches(logits.values > np.maximum(LOGIT * small, 30.0))
    for name, place, step, reports in sorted([*sharp, *large], key=lambda s: (s.place, s.step)):
        if reports >= 2 and min(entropy.counts[place], logits.counts[place]) >= 4:
            yield Found(
                "warning",
                name,
                measured=f"entropy {entropy.last[place]:.2g} of equal weights, {wide[place]:.2g} at first; largest "
                f"logit {logits.last[place]:.3g}, {small[place]:.3g} at first; since about step {step}",
                expected=f"entropy above {SHARP:g}, logits that stay",
                message="the attention collapses onto single keys",
                fix=Fix("normalize queries and keys (QK norm), lower the rate, or add z-loss"),
            )
            return


CROWDED = Limit(2.5, "times the largest load of the first reports.")
UNUSED = Limit(0.5, "of the experts, and 0.25 above the first reports.")


@watched("RUN007", "error", explains=(*LOSS, "BWD303", "FWD201", "FWD204", "RUN009"))
def router_collapse(history: History) -> Iterator[Found]:
    """## What it does
    Counts how many tokens each choice among few (top-k, argmax) inside the model sends to each of them.

    ## Why is this bad?
    Experts that get no token learn nothing, and the one that gets all has the capacity of a dense layer.

    ## References
    Fedus et al., *Switch Transformers*, 2022, section 2.2.
    """
    unused, loads = history.curves("routers", "unused"), history.curves("routers", "load")
    first, load = unused.first().max(0, initial=0.0), loads.first().max(0, initial=0.0)
    idle = unused.stretches(unused.values >= np.maximum(UNUSED, first + 0.25))
    crowded = loads.stretches(loads.values > CROWDED * load)
    for name, place, step, reports in sorted([*idle, *crowded], key=lambda s: (s.place, s.step)):
        if reports >= 2 and unused.counts[place] >= 4:
            yield Found(
                "error",
                name,
                measured=f"{unused.last[place]:.0%} of the experts get no token, the busiest "
                f"{loads.last[place]:.2g} times its share; at first {first[place]:.0%} and {load[place]:.2g}",
                expected="every expert in use",
                message=f"since about step {step} the router sends everything to few experts",
                fix=Fix("add or raise the load balancing loss; noise in the router; a lower rate for it"),
            )
            return
