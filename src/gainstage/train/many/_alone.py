"""One member after the other, by torch's own optimizers, with the numbers that it would get among others."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.train._errors import TrainError
from gainstage.train._evaluate import mode
from gainstage.train._loop import Fit
from gainstage.train.many._draws import Draws, Numbers, numbers
from gainstage.train.many._job import STOPPED, Batches, Job, Moment, check_loss
from gainstage.train.many._stack import apply, call, calm, pieces, tensors


def one_by_one(job: Job) -> tuple[Fit, ...]:
    """Train the members of `job` in place, each on its own."""
    fits: list[Fit] = []
    for k, seed in enumerate(job.seeds):
        with torch.random.fork_rng():
            torch.manual_seed(seed)  # for what draws in a way of its own
            fits.append(_alone(job.only(k), k))
    return tuple(fits)


def _alone(job: Job, k: int) -> Fit:
    (model,), (seed,) = job.models, job.seeds
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise TrainError("the model has no parameter to train: all have requires_grad=False")
    own = {name for name, p in model.named_parameters() if p.requires_grad}
    optimizer = job.optimizer(_groups(job, model), **job.options[0])
    base = [group["lr"] for group in optimizer.param_groups]
    losses: list[float] = []
    stopped: list[int] = []
    sizes = count_draws(job) if job.steps else (0, 0)
    draws = Draws()
    judged = [name for name, fine in _finite(model).items() if fine or name in own]
    with mode(model, training=True):
        for number, (x, y) in enumerate(Batches(job)):
            before = {name: t.detach().clone() for name, t in tensors(model)}
            with draws.given(_vectors(sizes, seed, number, job.device)):
                loss = job.loss(_call(model, apply(_first, x)), apply(_first, y))
            check_loss(loss)
            loss = loss.reshape(())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if job.clip is not None:
                nn.utils.clip_grad_norm_(trained, job.clip[0])
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * job.factor(number)
            optimizer.step()
            losses.append(float(loss.detach()))
            fine = _finite(model)
            if not (math.isfinite(losses[-1]) and all(fine[name] for name in judged)):
                with torch.no_grad():
                    for name, t in tensors(model):
                        t.copy_(before[name])
                return Fit(tuple(losses), diverged=True)
            for told in job.on_step:
                told(_moment(number, k, loss.detach(), model, stopped))
            if stopped:
                break
    return Fit(tuple(losses), diverged=False, stopped=STOPPED if stopped else None)


def _groups(job: Job, model: nn.Module) -> list[dict[str, Any]]:
    """The parameters that are trained, those with factors of their own in groups with the options times these."""
    usual, scaled = dict(job.optimizer([torch.zeros(1)], **job.options[0]).defaults), job.scales or {}
    groups: dict[tuple[tuple[str, float], ...], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(tuple(sorted(scaled.get(name, {}).items())), []).append(parameter)
    return [
        {"params": own, **{option: usual[option] * factor for option, factor in key}} for key, own in groups.items()
    ]


def outputs(model: nn.Module, x: Any, *, batch_size: int) -> Tensor:
    """What one model answers in evaluation mode, without gradients."""
    with mode(model, training=False), torch.no_grad():
        return torch.cat([_call(model, some) for some in pieces(x, batch_size)])


def count_draws(job: Job) -> tuple[int, int]:
    """How many numbers a step of the job's first member draws: one forward pass that changes nothing."""
    model = job.models[0]
    x, y = (apply(_first, batch) for batch in next(iter(Batches(job.only(0)))))
    copies = {name: t.detach().clone() for name, t in tensors(model)}
    draws = Draws(count=True)
    nothing = _vectors((0, 0), job.seeds[0], 0, job.device)
    with torch.random.fork_rng(), calm(model, training=True), torch.no_grad(), draws.given(nothing):
        job.loss(call(model, copies, x), y)
    return draws.sizes


def _moment(number: int, k: int, loss: Tensor, model: nn.Module, stopped: list[int]) -> Moment:
    return Moment(
        number,
        (k,),
        loss[None],
        lambda x: outputs(model, x, batch_size=1024)[None],
        lambda _: {name: t.detach().clone() for name, t in tensors(model)},
        stopped.append,
    )


def _call(model: nn.Module, x: Any) -> Any:
    if isinstance(x, dict):
        return model(**x)
    return model(*x) if isinstance(x, tuple) else model(x)


def _first(t: Tensor) -> Tensor:
    return t[0]


def _vectors(sizes: tuple[int, int], seed: int, step: int, device: torch.device) -> Numbers:
    return Numbers(*(matrix[0] for matrix in numbers(sizes, [seed], step, device)))


def _finite(model: nn.Module) -> dict[str, bool]:
    """Whether each tensor is finite; one look of the host."""
    found = {name: t.detach().isfinite().all() for name, t in tensors(model)}
    return dict(zip(found, torch.stack(list(found.values())).tolist(), strict=True))
