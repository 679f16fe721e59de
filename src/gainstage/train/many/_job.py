"""What is to be trained, checked and filled in; and what a callback is told meanwhile."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.train._errors import TrainError
from gainstage.train._loop import Loss
from gainstage.train._schedule import Schedule
from gainstage.train.many._stack import apply, length

Augment = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
CHUNK = 64  # steps whose batches are drawn at once


@dataclass(frozen=True)
class Moment:
    """What `on_step` of `fit_many` is told after each step, for the members that are still training.

    Attributes:
        number: of the step, from 0.
        members: their places in the list of models.
        losses: of this step before its update, one for each of them.
        outputs: `outputs(x)` is what each of them now answers in evaluation mode, `[members, n, ...]`.
        state: `state(k)` is a copy of the parameters and buffers of member `k` by name.
        stop: `stop(k)` leaves member `k` as it now is and trains the others on.
    """

    number: int
    members: tuple[int, ...]
    losses: Tensor
    outputs: Callable[[Any], Tensor]
    state: Callable[[int], dict[str, Tensor]]
    stop: Callable[[int], None]


OnStep = Callable[[Moment], object]
STOPPED = "a callback stopped this member"


@dataclass(frozen=True)
class Job:
    """The arguments of `fit_many`, with one entry a member where members may differ."""

    models: Sequence[nn.Module]
    x: Any
    y: Any
    loss: Loss
    optimizer: type[Optimizer]
    options: list[dict[str, Any]]
    clip: list[float] | None
    batch_size: int
    steps: int
    seeds: list[int]
    rows: Sequence[Tensor] | None
    schedule: Schedule | None
    augment: Augment | None
    on_step: Sequence[OnStep]
    scales: Mapping[str, Mapping[str, float]] | None = None  # by parameter, factors on options of the optimizer

    def only(self, k: int) -> "Job":
        """The part of member `k`."""
        one = slice(k, k + 1)
        rows = None if self.rows is None else self.rows[one]
        clip = None if self.clip is None else self.clip[one]
        values = self.__dict__ | {"models": self.models[one], "options": self.options[one], "seeds": self.seeds[one]}
        return Job(**values | {"rows": rows, "clip": clip})

    def factor(self, step: int) -> float:
        """On every learning rate."""
        return 1.0 if self.schedule is None else self.schedule(step)

    @property
    def device(self) -> torch.device:
        """Where the models are."""
        return next((p.device for p in self.models[0].parameters()), torch.device("cpu"))


def per_member(values: Any, count: int, name: str) -> list[Any]:
    """One value for each of `count` members, from one for all or a sequence."""
    if hasattr(values, "tolist"):  # a tensor or an array
        values = values.tolist()
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        return [values] * count
    if len(values) != count:
        raise TrainError(f"{name} has {len(values)} values for {count} models: give one for all, or one for each")
    return list(values)


def options_of(options: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The options of every member. `betas` is a pair for all, or a list of pairs."""
    pairs = {n: [v] * count if isinstance(v, tuple) else per_member(v, count, n) for n, v in options.items()}
    return [{name: values[k] for name, values in pairs.items()} for k in range(count)]


def check(job: Job) -> None:
    """Everything that can be seen before the first step."""
    if not job.models:
        raise TrainError("there are no models: give at least one")
    if len({id(model) for model in job.models}) < len(job.models):
        raise TrainError("a model is in the list twice; each member needs a module of its own, as copy.deepcopy makes")
    if job.steps < 0:
        raise TrainError(f"steps is {job.steps}, expected 0 or more")
    n = length(job.x)
    if length(job.y) != n:
        raise TrainError(f"x has {n} samples and y has {length(job.y)}: they must be as many")
    if job.rows is not None and len(job.rows) != len(job.models):
        raise TrainError(f"rows has {len(job.rows)} entries for {len(job.models)} models: give one for each")
    sizes = [n] if job.rows is None else [len(rows) for rows in job.rows]
    if not 1 <= job.batch_size <= min(sizes):
        raise TrainError(f"batch_size is {job.batch_size}, expected 1 to {min(sizes)}, the number of samples")


def check_loss(value: Any, members: tuple[int, ...] = ()) -> None:
    """Raise `TrainError` unless `value` is one number with a gradient, for each member where they are several."""
    if not isinstance(value, Tensor) or value.numel() != math.prod(members):
        shape = tuple(value.shape[len(members) :]) if isinstance(value, Tensor) else type(value).__name__
        raise TrainError(f"the loss returned {shape}, expected one number. Take its mean: loss(output, y).mean()")
    if not value.requires_grad:
        raise TrainError("the loss has no gradient: no parameter that is trained takes part in it")


def check_scales(scales: Mapping[str, Mapping[str, float]], names: set[str], options: Mapping[str, Any]) -> None:
    """Raise `TrainError` unless every factor is of a parameter and of an option that there are."""
    for name, factors in scales.items():
        if name not in names:
            raise TrainError(f"scales has factors of {name!r}; expected names of parameters, such as {min(names)!r}")
        if unknown := factors.keys() - options.keys():
            raise TrainError(f"scales has {min(unknown)!r} of {name!r}; the optimizer has {', '.join(sorted(options))}")


class Batches:
    """The batches of all members, step by step; members can be dropped meanwhile.

    The order of a member is that of `minibatches` with its seed, whoever else is trained.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        n = length(job.x)
        rows = [None] * len(job.models) if job.rows is None else job.rows
        self._orders = [_Order(seed, n, some) for seed, some in zip(job.seeds, rows, strict=True)]
        self._augmenting = [torch.Generator().manual_seed(seed) for seed in job.seeds]
        self._index = torch.empty(0)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """Samples `[K, batch, ...]` and targets."""
        job, size = self._job, self._job.batch_size
        for step in range(job.steps):
            if step % CHUNK == 0:
                count = min(CHUNK, job.steps - step)
                drawn = [order.take(count * size) for order in self._orders]
                self._index = torch.stack(drawn).view(len(drawn), count, size).to(job.device)
            yield self._augmented(*(apply(self._at(step % CHUNK), t) for t in (job.x, job.y)))

    def keep(self, kept: Sequence[int]) -> None:
        """Go on for these members only."""
        self._orders = [self._orders[k] for k in kept]
        self._augmenting = [self._augmenting[k] for k in kept]
        self._index = self._index[list(kept)]

    def _at(self, place: int) -> Callable[[Tensor], Tensor]:
        index = self._index[:, place]

        def taken(t: Tensor) -> Tensor:
            flat = index.reshape(-1).to(t.device)
            return t.index_select(0, flat).view(*index.shape, *t.shape[1:])  # faster than t[index]

        return taken

    def _augmented(self, x: Any, y: Any) -> tuple[Any, Any]:
        if self._job.augment is None:
            return x, y
        pairs = [self._job.augment(*given) for given in zip(x, y, self._augmenting, strict=True)]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])


class _Order:
    """The order in which one member sees its samples: every one once, in an order drawn anew each time."""

    def __init__(self, seed: int, n: int, rows: Tensor | None) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._n = n if rows is None else len(rows)
        self._rows = rows
        self._queue = torch.empty(0, dtype=torch.long)

    def take(self, count: int) -> Tensor:
        parts, have = [self._queue], len(self._queue)
        while have < count:
            parts.append(torch.randperm(self._n, generator=self._generator))
            have += self._n
        queue = torch.cat(parts)
        index, self._queue = queue[:count], queue[count:]
        return index if self._rows is None else self._rows.cpu()[index]
