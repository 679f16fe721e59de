"""Measure what the rules of `gs.check` compare with their thresholds, over the healthy models of the tests.

python benchmarks/healthy_distribution.py            # the extremes of every quantity, with the model
python benchmarks/healthy_distribution.py --train    # those that need training runs or many starts: some minutes more

Each quantity stands beside the thresholds that it is compared with. Other conditions of a rule may still keep it silent
beyond a threshold, so an extreme value is no finding; `tests/check/test_healthy.py` shows that there is none.
"""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median

import torch
from torch.optim import SGD, Adam, Optimizer

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
import healthy_any  # noqa: F401
import healthy_norm  # noqa: F401
import healthy_optimizer  # noqa: F401
import healthy_output  # noqa: F401
from healthy import HEALTHY
from healthy_hf import HUGGING_FACE

from gainstage.check import Evidence, NotMeasured
from gainstage.check import thresholds as t
from gainstage.check.facts.dropout import drops
from gainstage.check.facts.inputs import Entrance, entrances
from gainstage.check.facts.losses import Comparison, comparisons, only
from gainstage.check.facts.norms import norms
from gainstage.check.facts.penalty import of_optimizer
from gainstage.check.facts.scale import scales
from gainstage.check.facts.signal import cuts
from gainstage.check.probes.attention import sharpness
from gainstage.check.probes.optimizer_step import OptimizerStep, optimizer_step
from gainstage.check.probes.redraw import independent, redraw
from gainstage.check.rules.backward.depth import first_and_last
from gainstage.check.rules.forward.softmax import _judged, _logits, _spread, all_attentions
from gainstage.check.rules.forward.streams import levels_of
from gainstage.check.rules.forward.units import _hidden_squash, _rectifies, _seen, _unit_axis, unit_axis
from gainstage.check.rules.trainability.overfit import attempts
from gainstage.run import Subject

Quantity = Callable[[Evidence], float]

# --- forward -------------------------------------------------------------------------------------------------------


def collapse(e: Evidence) -> float:
    found = [e.forward(e.before_zero_heads(i)) for i in e.varied_outputs()]
    return max(m.variance_between / m.mean_square for m in found) / min(1, e.input_level[0] / e.input_level[1])


def head_input(e: Evidence) -> float:
    return max(e.forward(e.feeds(h)[0]).variance_between for h in e.heads) / min(1, e.input_level[0])


def head_rms(e: Evidence) -> float:
    return max(e.forward(h).rms for h in e.heads) / max(1.0, e.input_level[1]) ** 0.5


def dead(e: Evidence) -> float:
    judged = [s for s in e.tape if _rectifies(e, s) and _seen(e, s) >= t.DEAD_SAMPLES]
    return max(e.forward(s.index).dead for s in judged if _unit_axis(e, s) == unit_axis(s))


def saturated(e: Evidence) -> float:
    return max(e.forward(s.index).saturated for s in e.tape if _hidden_squash(e, s))


def growth(e: Evidence) -> float:
    return max(levels[-1] / max(levels[0], levels[len(levels) // 2]) for _, levels in levels_of(e))


def softmax_peak(e: Evidence) -> float:
    readers = {attention.site: attention for attention in e.once(all_attentions)}
    fused = [s for s in e.tape if s.op == "scaled_dot_product_attention"]
    exact = dict(zip((s.index for s in fused), sharpness(e.model, e.example), strict=False)) if fused else {}
    return max(exact[s.index] if s.index in exact else _spread(e, s) for s in e.tape if _judged(e, s, readers))


def attention_logits(e: Evidence) -> float:
    fused = [a for a in e.once(all_attentions) if e.tape.sites[a.site].op == "scaled_dot_product_attention"]
    return max(level for a in fused if (level := _logits(e, a)) > 0)


def queries_over_values(e: Evidence) -> float:
    pull = {site: weight.pull for weight in e.weights for site in weight.sites}
    found = []
    for a in e.once(all_attentions):
        ours = max((pull.get(s, 0.0) for s in (*a.queries, *a.keys)), default=0.0)
        theirs = max((pull.get(s, 0.0) for s in a.values), default=0.0)
        if ours > 0 and theirs > 0 and not {*a.queries, *a.keys} & e.one_key and set(a.queries).isdisjoint(a.values):
            found.append(ours / theirs)
    return min(found)


# --- backward ------------------------------------------------------------------------------------------------------


def vanishing(e: Evidence) -> float:
    """Pull of the first over that of the last weights, the largest of the first quarter."""
    first, last = first_and_last(e)
    return first.pull / last.pull


def _exploding(e: Evidence, short_paths: bool) -> float:
    if short_paths != (bool(e.branches) or any(site.op in ("cat", "concat") for site in e.tape)):
        return float("nan")
    last, first = first_and_last(e, from_the_end=True)
    return first.pull / last.pull


def exploding(e: Evidence) -> float:
    """First over last as well, the largest of the last quarter; of networks without short paths."""
    return _exploding(e, short_paths=False)


def exploding_residual(e: Evidence) -> float:
    """The same with residual branches or concatenated paths."""
    return _exploding(e, short_paths=True)


def others_share(e: Evidence) -> float:
    """The squared effect of all weights but the largest, over that of all."""
    pulls = sorted(w.pull**2 for w in e.weights if w.name in e.gradients and w.pull > 0)
    if len(pulls) < t.GRADIENT_DEPTH:
        raise NotMeasured("too few weights")
    return sum(pulls[:-1]) / sum(pulls)


# --- initialization and loss ---------------------------------------------------------------------------------------


def scale_over_law(e: Evidence) -> float:
    return max(s.ratio for s in e.once(scales) if not s.head)


def scale_over_law_small(e: Evidence) -> float:
    """The smallest, of weights that every path leads through."""
    return min(s.ratio for s in e.once(scales) if not s.head and e.once(cuts).issuperset(s.weight.sites))


def tied_logits(e: Evidence) -> float:
    calls = e.graph.weights
    tables = [w for w in e.weights if any(calls[s].family == "embedding" for s in w.sites if s in calls)]
    return max(e.forward(site).rms for w in tables for site in w.sites if site in e.heads)


def _classes(e: Evidence) -> list[Comparison]:
    return [c for c in e.once(comparisons) if c.kind == "classes" and c.guess > 0]


def _numbers(e: Evidence) -> list[Comparison]:
    return [c for c in e.once(comparisons) if c.kind == "numbers" and c.guess > 0]


def loss_over_guess(e: Evidence) -> float:
    return max(c.measured / c.guess for c in _classes(e))


def loss_excess(e: Evidence) -> float:
    return max(c.measured - c.guess for c in _classes(e) if c.call.options.get("reduction", "mean") == "mean")


def loss_over_entropy(e: Evidence) -> float:
    return min(c.measured / c.entropy for c in _classes(e) if c.entropy)


def error_over_variance(e: Evidence) -> float:
    return max(c.measured / c.guess for c in _numbers(e))


# --- data ----------------------------------------------------------------------------------------------------------


def _entrances(e: Evidence) -> list[Entrance]:
    return [entrance for entrance in e.once(entrances) if not entrance.normalized]


def input_rms(e: Evidence) -> float:
    return max(entrance.moments.rms for entrance in _entrances(e))


def input_rms_small(e: Evidence) -> float:
    return min(entrance.moments.rms for entrance in _entrances(e))


def input_offset(e: Evidence) -> float:
    varied = [entrance for entrance in e.once(entrances) if entrance.moments.variance_between > 0]
    return max(entrance.offset for entrance in varied if not entrance.centred)


def column_spread(e: Evidence) -> float:
    given = [entrance.values for entrance in e.once(entrances) if entrance.feature_axis == -1]
    rows = [v.detach().reshape(-1, v.shape[-1]).double() for v in given if v is not None and v.dim() in (2, 3)]
    deviations = [row.std(0) for row in rows if len(row) >= t.CONSTANT_SAMPLES and row.shape[1] > 1]
    return max(float(d.max() / d.median()) for d in deviations)


def target_steps(e: Evidence) -> float:
    judged = [c for c in _numbers(e) if only(e, c)]
    pull = sum(float(g.to_dense().abs().sum()) for g in e.gradients.values())
    return judged[0].measured / (1e-3 * pull) if judged else float("nan")


# --- regularization and normalization ------------------------------------------------------------------------------


def dropout_rate(e: Evidence) -> float:
    return max(drop.rate for drop in e.once(drops))


def dropout_keeps(e: Evidence) -> float:
    return min((1 - drop.rate) * drop.units for drop in e.once(drops))


def penalty_over_data(e: Evidence) -> float:
    """Of SGD with a weight decay of 5e-4."""
    own, e.optimizer = e.optimizer, SGD(e.trainable.values(), 0.1, weight_decay=5e-4)
    try:
        pull = of_optimizer(e)
    finally:
        e.optimizer = own
    return pull.ratio if pull else float("nan")


def values_per_channel(e: Evidence) -> float:
    return min(norm.values for norm in e.once(norms) if norm.across_samples)


# --- optimizer -----------------------------------------------------------------------------------------------------


def _stepped(e: Evidence, optimizer: Optimizer) -> OptimizerStep:
    if e.tape.surrogate or e.tape.loss is None:
        raise NotMeasured("no loss")
    given = {"target": e.target, "loss": e.loss, "seed": e.seed}
    return optimizer_step(e.model, e.example, optimizer, e.gradients, e.tape.loss, **given)


def adam(e: Evidence) -> OptimizerStep:
    return _stepped(e, Adam(e.trainable.values(), 1e-3))


def sgd(e: Evidence) -> OptimizerStep:
    return _stepped(e, SGD(e.trainable.values(), 0.01, momentum=0.9))


def _ratio(e: Evidence, step: OptimizerStep) -> float:
    moves = [m for name, m in step.moves.items() if e.trainable[name].dim() > 1 and m.weight and m.update]
    return median(move.ratio for move in moves)


def update_ratio_adam(e: Evidence) -> float:
    return _ratio(e, e.once(adam))


def update_ratio_sgd(e: Evidence) -> float:
    return 10 * _ratio(e, e.once(sgd))  # as steps are once momentum 0.9 has built up


def step_share_adam(e: Evidence) -> float:
    return -e.once(adam).slope / abs(e.once(adam).before)


def step_share_sgd(e: Evidence) -> float:
    return -10 * e.once(sgd).slope / abs(e.once(sgd).before)


def gradient_norm(e: Evidence) -> float:
    if e.tape.surrogate:
        raise NotMeasured("no loss")
    e.backward_measured()
    return sum(float(g.to_dense().double().square().sum()) for g in e.gradients.values()) ** 0.5


# --- with training -------------------------------------------------------------------------------------------------


def overfit_steps(e: Evidence) -> float:
    """Of the run that comes down to half of guessing; all steps where none does."""
    if e.tape.surrogate:
        raise NotMeasured("no loss")
    return len(attempts(e)[2][-1].losses)


def dead_starts(e: Evidence) -> float:
    """Share of 20 redrawn starts in which all outputs collapse, where hidden weights may be redrawn."""
    e.varied_outputs()
    hidden = [w for w in e.weights if w.unit_axis is not None and not set(w.sites) <= set(e.heads)]
    if any(w.constant for w in hidden) or not independent([e.model.get_parameter(w.name) for w in hidden]):
        raise NotMeasured("a structure that redrawing would not keep")
    spreads = redraw(e.model, e.example, batch=e.tape.batch or 1, draws=20, seed=e.seed)
    return sum(spread < t.COLLAPSE_ERROR for spread in spreads) / len(spreads)


Limits = tuple[t.Threshold, ...]
LEVELS: dict[Quantity, Limits] = {
    collapse: (t.COLLAPSE_WARNING, t.COLLAPSE_ERROR),
    head_input: (t.VANISHING_WARNING, t.VANISHING_ERROR),
    head_rms: (t.EXPLOSION_WARNING, t.EXPLOSION_ERROR),
    dead: (t.DEAD_SHARE,),
    saturated: (t.SATURATED_WARNING, t.SATURATED_ERROR),
    vanishing: (t.GRADIENT_VANISHING_WARNING, t.GRADIENT_VANISHING_ERROR),
    exploding: (t.GRADIENT_EXPLODING_WARNING, t.GRADIENT_EXPLODING_ERROR),
}
OTHERS: dict[Quantity, Limits] = {
    exploding_residual: (t.Threshold(t.GRADIENT_EXPLODING_WARNING * t.GRADIENT_RESIDUAL_SLACK, ""),),
    growth: (t.GROWTH_WARNING, t.GROWTH_ERROR),
    softmax_peak: (t.PEAKED_SOFTMAX,),
    attention_logits: (t.LARGE_LOGITS,),
    queries_over_values: (t.UNIFORM_ATTENTION,),
    others_share: (t.CONCENTRATED,),
    scale_over_law: (t.SCALE_LARGE,),
    scale_over_law_small: (t.SCALE_SMALL,),
    tied_logits: (t.TIED_LOGITS,),
    loss_over_guess: (t.LOSS_FACTOR,),
    loss_excess: (t.LOSS_EXCESS, t.LOSS_HARM),
    loss_over_entropy: (t.LOSS_BELOW,),
    error_over_variance: (t.REGRESSION_FACTOR, t.TARGET_OFFSET),
    input_rms: (t.INPUT_RAISED, t.INPUT_LARGE),
    input_rms_small: (t.INPUT_SMALL_WARNING, t.INPUT_SMALL_ERROR),
    input_offset: (t.OFFSET_WARNING, t.OFFSET_ERROR),
    column_spread: (t.COLUMNS_WARNING, t.COLUMNS_ERROR),
    target_steps: (t.TARGET_STEPS, t.TARGET_STEPS_ERROR),
    dropout_rate: (t.DROPOUT_HIGH, t.DROPOUT_WARNING),
    dropout_keeps: (t.DROPOUT_KEPT_WARNING, t.DROPOUT_KEPT_ERROR),
    penalty_over_data: (t.PENALTY_WARNING, t.PENALTY_ERROR),
    values_per_channel: (t.FEW_VALUES_WARNING, t.FEW_VALUES_NOTE),
    update_ratio_adam: (t.RATIO_LOW, t.RATIO_HIGH),
    update_ratio_sgd: (t.RATIO_LOW, t.RATIO_HIGH),
    step_share_adam: (t.NEGLIGIBLE_STEP, t.SMALL_STEP),
    step_share_sgd: (t.NEGLIGIBLE_STEP, t.SMALL_STEP),
    gradient_norm: (t.CLIPPED,),
}
TRAINED: dict[Quantity, Limits] = {overfit_steps: (t.OVERFIT_STEPS,), dead_starts: (t.RISK,)}


def measure(subject: Subject, quantities: Iterable[Quantity], seed: int = 0) -> dict[str, float]:
    """Those of the quantities that this model has."""
    evidence = Evidence(subject.model, subject.example, target=subject.target, loss=subject.loss, seed=seed)
    found = {}
    for quantity in quantities:
        try:
            value = quantity(evidence)
        except (NotMeasured, ArithmeticError, LookupError, RuntimeError, ValueError):  # no such site, a zero head
            continue
        if value == value:
            found[quantity.__name__] = value
    return found


def distribution(quantities: dict[Quantity, Limits], seeds: int) -> None:
    """Print the extremes of every quantity over the zoo, a row a quantity."""
    rows: dict[str, list[tuple[float, str]]] = {quantity.__name__: [] for quantity in quantities}
    zoo = {**HEALTHY, **HUGGING_FACE}
    for name, build in zoo.items():
        for seed in range(seeds):
            torch.manual_seed(seed)
            for quantity, value in measure(build(), quantities, seed).items():
                rows[quantity].append((value, name))
    print(f"{len(zoo)} models, {seeds} seed{'s' if seeds > 1 else ''}")
    for quantity, limits in quantities.items():
        values = sorted(rows[quantity.__name__])
        few = [values[round(share * (len(values) - 1))][0] for share in (0.05, 0.5, 0.95)]
        low = "  ".join(f"{value:.2g} {name}" for value, name in values[: 3 * seeds : seeds])
        high = "  ".join(f"{value:.2g} {name}" for value, name in values[: -3 * seeds - 1 : -seeds])
        print(
            f"{quantity.__name__}, {len(values)} measured; thresholds {', '.join(f'{x:g}' for x in limits)}\n"
            f"    5, 50, 95 %  {'  '.join(f'{value:.2g}' for value in few)}\n"
            f"    lowest       {low}\n    highest      {high}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    distribution(TRAINED if options.train else LEVELS | OTHERS, options.seeds)
