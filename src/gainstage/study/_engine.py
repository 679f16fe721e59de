"""How trials become outcomes: kin are trained as one program, all others one by one."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.init import orthogonal
from gainstage.plan import Plan, initialize, plan
from gainstage.study._arm import Arm
from gainstage.study._build import build, said
from gainstage.study._data import Data, loss_of, losses, score
from gainstage.study._errors import StudyError
from gainstage.study._init_text import init_of
from gainstage.study._parameterized import scales, transferred
from gainstage.study._trial import Look, Outcome, Trial
from gainstage.train import CannotStack, Fit, Moment, cutmix, fit_many, mixup, one_thread
from gainstage.transfer import Transfer

MEMBERS = 20  # trained as one: more bring little, and fewer tasks leave cores idle
SMALL = 256 * 256  # elements of the largest weight of a network that gains by being trained among others
WORST = -1.0  # R² below which a regression counts as failed: twice the squared error of guessing
SEEN = 256  # samples that a start is planned on
OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
}


@dataclass(frozen=True)
class Task:
    """What one worker does in one go: trials that differ in start, seed, rate and weight decay only, or a single one.

    How trials are shared out depends on the study alone, not on the executor, so that every executor gives the same
    numbers to the last bit.
    """

    trials: tuple[Trial, ...]
    data: Data
    together: bool


def tasks(trials: Iterable[Trial], data: Data, tried: dict[str, tuple[int, bool]] | None = None) -> list[Task]:
    """Share out the trials; those that can be trained as one program are, in groups of at most `MEMBERS`.

    Args:
        trials: in any order.
        data: of all of them.
        tried: what earlier calls found out about an architecture; what this one does is added.

    Raises:
        StudyError: an arm cannot be built, or its first training step raises.
    """
    kin: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        kin[_alike(trial).key].append(trial)
    made: list[tuple[int, Task]] = []
    tried = {} if tried is None else tried
    for key, family in kin.items():
        if key not in tried:
            sizes = [p.numel() for p in build(family[0].arm, data).parameters()]
            tried[key] = sum(sizes), max(sizes, default=0) <= SMALL and _stackable(family[0], data)
        size, together = tried[key]
        for group in _groups(family, MEMBERS if together else 1):
            made.append((size * len(group), Task(group, data, together and len(group) > 1)))
    made.sort(key=lambda sized: -sized[0])  # the longest first, so that no core waits at the end
    return [task for _, task in made]


def run(task: Task) -> tuple[Outcome, ...]:
    """Train the trials of a task, on one thread, and say what became of each.

    Raises:
        StudyError: a training step raised; the message names the arm.
    """
    first, began = task.trials[0], time.perf_counter()
    with one_thread():
        data = task.data.to(first.device)
        watch = _Watch(first, data)
        models, fits = _train(task, data, watch)
        finals = [_final(model, data) for model in models]
    seconds = (time.perf_counter() - began) / len(models)
    others = len(models) - 1
    engine = f"as one with {others} other{'s' * (others != 1)}" if task.together else "alone"
    return tuple(
        _outcome(fit, watch.seen[k], finals[k], first, data, seconds, engine) for k, fit in enumerate(fits)
    )  # fmt: skip


def _alike(trial: Trial) -> Trial:
    """The trial without what may differ among those that are trained as one."""
    return replace(trial, seed=0, arm=replace(trial.arm, init=None, lr=1.0, weight_decay=0.0, name=""))


def _groups(trials: Sequence[Trial], most: int) -> Iterator[tuple[Trial, ...]]:
    """Parts of nearly equal size, none above `most`."""
    parts = -(-len(trials) // most)
    for i in range(parts):
        yield tuple(trials[i::parts])


def _stackable(trial: Trial, data: Data) -> bool:
    """Whether two such networks take a step as one."""
    task = Task((replace(trial, steps=1, looks=1),) * 2, data, together=True)
    try:
        with one_thread():
            _train(task, data, None)
    except CannotStack:
        return False
    return True


def _train(task: Task, data: Data, watch: "_Watch | None") -> tuple[list[nn.Module], tuple[Fit, ...]]:
    try:
        starts: dict[Any, Plan | Transfer] = {}
        models = [model.to(task.trials[0].device) for model in _started(task.trials, data, starts)]
        move = next((start for start in starts.values() if isinstance(start, Transfer)), None)
        return models, _fit(task, models, data, watch, move)
    except (CannotStack, StudyError):
        raise
    except Exception as error:
        arm = said(task.trials[0].arm)
        raise StudyError(f"the arm {arm} cannot be trained: {type(error).__name__}: {error}") from error


def _started(trials: Sequence[Trial], data: Data, starts: dict[Any, Plan | Transfer]) -> list[nn.Module]:
    """A network for each trial, built once an architecture, planned once a scheme, filled by the trial's seed.

    The plans, or what takes their place where start and rates follow from a smaller size, are left in `starts`.
    """
    example = data.train.x[:SEEN]
    models = []
    for trial in trials:
        arm = trial.arm
        init = init_of(arm.init) if isinstance(arm.init, str) else arm.init
        model = build(arm, data, seed=trial.seed)
        if init == "lsuv":
            initialize(model, example, seed=trial.seed, scheme=orthogonal(), calibrate=True)
        elif arm.parameterization != "standard" and init not in starts:
            starts[init] = transferred(arm, data, example, init)
        elif init is not None and init not in starts:
            # of one start: what is measured of it must not differ from trial to trial
            starts[init] = plan(build(arm, data, seed=0), example, scheme=init)
        if init in starts:
            starts[init].apply(model, seed=trial.seed)
        models.append(model)
    return models


def _fit(
    task: Task, models: list[nn.Module], data: Data, watch: "_Watch | None", move: Transfer | None
) -> tuple[Fit, ...]:
    first, arm = task.trials[0], task.trials[0].arm
    kind, options = OPTIMIZERS[arm.optimizer]
    return fit_many(
        models,
        data.train.x,
        data.train.y,
        loss=loss_of(data, arm.label_smoothing),
        lr=[float(trial.arm.lr) for trial in task.trials],
        steps=first.steps,
        batch_size=min(arm.batch_size, len(data.train.x)),
        optimizer=kind,
        options=options | {"weight_decay": [trial.arm.weight_decay for trial in task.trials]},
        scales=None if move is None else scales(arm, move),
        clip=arm.clip,
        seeds=[trial.seed for trial in task.trials],
        augment=_Mixing(arm, data.classes) if arm.mixup or arm.cutmix else None,
        on_step=() if watch is None else (watch,),
        together=task.together,
    )


@dataclass(frozen=True)
class _Mixing:
    """Mixup or cutmix of one member's batch; with both, each on half of the batches. Targets become shares."""

    arm: Arm
    classes: int

    def __call__(self, x: Tensor, y: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        cut = self.arm.cutmix > 0
        if cut and self.arm.mixup > 0:
            cut = bool(torch.rand((), generator=generator) < 0.5)
        if cut:
            mixed, target = cutmix(x, y, self.arm.cutmix, generator=generator)
        else:
            mixed, target = mixup(x, y, self.arm.mixup, generator=generator)
        return mixed, target.soft(self.classes or None)


class _Watch:
    """Looks at all members of a task at the steps of the curve."""

    def __init__(self, trial: Trial, data: Data) -> None:
        self.data = data
        self.steps = _steps_of(trial)
        self.seen: dict[int, dict[int, tuple[float, float]]] = defaultdict(dict)

    def __call__(self, moment: Moment) -> None:
        if moment.number + 1 not in self.steps:
            return
        x, y = self.data.validation
        output = moment.outputs(x)
        found = zip(losses(self.data, output, y).tolist(), score(self.data, output, y).tolist(), strict=True)
        for member, (loss, value) in zip(moment.members, found, strict=True):
            self.seen[member][moment.number + 1] = loss, value


def _steps_of(trial: Trial) -> list[int]:
    looks = min(trial.looks, trial.steps)
    return [-(-trial.steps * (i + 1) // looks) for i in range(looks)]


def _final(model: nn.Module, data: Data) -> tuple[float, float, float]:
    """Score on validation and test, and the loss on validation."""
    model.eval()
    with torch.no_grad():
        validation, test = (
            torch.cat([model(x) for x in torch.split(part.x, 1024)]) for part in (data.validation, data.test)
        )
    return (
        float(score(data, validation, data.validation.y)),
        float(score(data, test, data.test.y)),
        float(losses(data, validation, data.validation.y)),
    )


def _outcome(
    fit: Fit,
    seen: dict[int, tuple[float, float]],
    final: tuple[float, float, float],
    trial: Trial,
    data: Data,
    seconds: float,
    engine: str,
) -> Outcome:
    curve, before = [], 0
    for step in _steps_of(trial):
        made = fit.losses[before:step]
        loss, value = seen.get(step, (float("inf"), data.guess))
        curve.append(Look(step, sum(made) / len(made) if step in seen else float("inf"), loss, value))
        before = step
    if fit.diverged:
        why = f"diverged at step {len(fit.losses)}"
        return Outcome(why, tuple(curve), data.guess, data.guess, float("inf"), seconds, engine)
    validation, test, loss = final
    if not data.classes and test < WORST:  # R² has no lower end: one such run would be all that a mean tells
        why = f"ends far worse than guessing: R² {test:.3g}"
        return Outcome(why, tuple(curve), data.guess, data.guess, float("inf"), seconds, engine)
    return Outcome(None, tuple(curve), validation, test, loss, seconds, engine)
