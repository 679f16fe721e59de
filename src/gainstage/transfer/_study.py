"""Does it transfer? Train every size at many rates and seeds, and compare where each is best."""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor, nn

from gainstage._progress import bar
from gainstage.errors import GainstageError
from gainstage.run import Loss, map_tensors, own_loss, seeded, tensors_in
from gainstage.train import Fit, fit, fit_many, minibatches
from gainstage.transfer._check import Question
from gainstage.transfer._rates import Curve, Rates
from gainstage.transfer._resolve import Scaled, resolve
from gainstage.transfer._sizes import Steps

_KINDS = {"adam": torch.optim.AdamW, "sgd": torch.optim.SGD}
_TAIL = 0.1  # of the steps, over whose training losses a run is judged


@dataclass(frozen=True)
class Training:
    """How every run of a study is trained.

    Attributes:
        rates: of the base.
        seeds: number of seeds.
        steps, batch_size: of each run.
        data: `(x, y)`.
        loss: `loss(output, y)`.
        arms: rules, and `"embedding"`: the standard start, all rates divided by the width but those of embeddings.
        options: of the optimizer.
    """

    rates: tuple[float, ...]
    seeds: int
    steps: int
    batch_size: int
    data: tuple[Any, Tensor]
    loss: Any
    arms: tuple[str, ...]
    options: Mapping[str, Any]


def rates_of(asked: Question, along: Mapping[str, Steps], training: Training, *, progress: bool) -> Rates:
    """Train everything, a size and an arm as one program where that can be."""
    curves = []
    walks = {axis: walk for axis, walk in along.items() if len(set(walk.ratios)) > 1}
    total = sum(len(walk.sizes) for walk in walks.values()) * len(training.arms)
    with bar("rates" if progress else None, total) as advance:
        for axis, walk in walks.items():
            for arm in training.arms:
                for size, ratio, label in zip(walk.sizes, walk.ratios, walk.labels, strict=True):
                    losses = _losses(asked, size, ratio, arm, training)
                    curves.append(Curve(axis, arm, label, ratio, training.rates, losses))
                    advance()
    return Rates(asked.optimizer, tuple(curves), training.seeds, training.steps)


def data_of(asked: Question, given: tuple[Any, Any] | None, loss: Loss | None) -> tuple[tuple[Any, Tensor], Any]:
    """What is trained on: what was given, or the example of the base; and the loss."""
    subject = asked.sizes.build(asked.base)
    x, y = given if given is not None else (subject.example, subject.target)
    y = next(tensors_in(x)) if y is None else y
    chosen = loss or subject.loss or _own
    if loss is None and subject.loss is None and own_loss(subject.model(**x) if isinstance(x, dict) else None) is None:
        raise GainstageError(
            "a study trains, so it needs a loss: give loss=, or return gs.Subject(..., loss=) from make"
        )
    return (x, y), chosen


def _own(output: Any, _: Any) -> Any:
    return own_loss(output)


def _losses(asked: Question, size: Any, ratio: float, arm: str, training: Training) -> tuple[tuple[float, ...], ...]:
    """The final loss of every seed and rate, `[seeds][rates]`; infinite where it diverged."""
    scaled = _scaled(asked, size, ratio, arm)
    models: list[nn.Module] = []
    for seed in range(training.seeds):
        first = asked.sizes.build(size, seed=seed).model
        scaled.apply(first, seed=seed)
        models += [first, *(deepcopy(first) for _ in training.rates[1:])]
    if asked.optimizer == "muon":
        fits = _one_by_one(models, scaled, training)
    else:
        fits = _as_one(models, scaled, asked.optimizer, training)
    ends = [_end(fit, training.steps) for fit in fits]
    count = len(training.rates)
    return tuple(tuple(ends[i : i + count]) for i in range(0, len(ends), count))


def _as_one(models: list[nn.Module], scaled: Scaled, optimizer: str, training: Training) -> Sequence[Fit]:
    keys = ("lr",) if optimizer == "sgd" else ("lr", "eps", "weight_decay")
    return fit_many(
        models,
        *training.data,
        loss=training.loss,
        lr=list(training.rates) * training.seeds,
        steps=training.steps,
        batch_size=training.batch_size,
        optimizer=_KINDS[optimizer],
        options={"weight_decay": 0.0, **training.options},
        scales={name: {key: getattr(s, key) for key in keys} for name, s in scaled.scalings.items()},
        seeds=[seed for seed in range(training.seeds) for _ in training.rates],
    )


def _one_by_one(models: list[nn.Module], scaled: Scaled, training: Training) -> Sequence[Fit]:
    """With an optimizer of two parts, on the batches that the seeds give among others as well."""
    fits = []
    for i, model in enumerate(models):
        seed, rate = divmod(i, len(training.rates))
        optimizer = scaled.make_optimizer(model, lr=training.rates[rate], **training.options)
        with seeded(seed):
            fits.append(fit(model, _batches(training, seed), loss=training.loss, optimizer=optimizer))
    return fits


def _batches(training: Training, seed: int) -> Iterator[tuple[Any, Tensor]]:
    x, y = training.data
    rows = torch.arange(len(y))
    for chosen, _ in minibatches(rows, rows, batch_size=training.batch_size, steps=training.steps, seed=seed):
        yield map_tensors(x, lambda t, chosen=chosen: t[chosen]), y[chosen]  # type: ignore[misc]


def _end(fit: Fit, steps: int) -> float:
    tail = fit.losses[-max(1, round(_TAIL * steps)) :]
    mean = sum(tail) / len(tail)
    return inf if fit.diverged or not isfinite(mean) else mean


def _scaled(asked: Question, size: Any, ratio: float, arm: str) -> Scaled:
    rule = "standard" if arm == "embedding" else arm
    scaled = resolve(asked.sizes, asked.base, size, asked.optimizer, rule, asked.scheme).scaled
    if arm != "embedding":
        return scaled
    each = {
        name: s if s.kind in ("embedding", "tied") else replace(s, lr=1 / ratio, weight_decay=ratio)
        for name, s in scaled.scalings.items()
    }
    return replace(scaled, rule="embedding", scalings=each)
