"""`fit_many`: K networks of one architecture, trained as one."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from gainstage.train._loop import Fit, Loss
from gainstage.train._schedule import Schedule
from gainstage.train.many._alone import one_by_one
from gainstage.train.many._errors import CannotStack
from gainstage.train.many._job import Augment, Job, OnStep, check, check_scales, options_of, per_member
from gainstage.train.many._optimizers import complete
from gainstage.train.many._together import together as all_together

LARGEST = 1 << 26  # parameters of all members: beyond that memory is what is scarce, and a loop is as fast


def fit_many(
    models: Sequence[nn.Module],
    x: Any,
    y: Any,
    *,
    loss: Loss,
    lr: float | Sequence[float],
    steps: int,
    batch_size: int,
    optimizer: type[Optimizer] = Adam,
    options: dict[str, Any] | None = None,
    scales: Mapping[str, Mapping[str, float]] | None = None,
    clip: float | Sequence[float] | None = None,
    seeds: Sequence[int] | None = None,
    rows: Sequence[Tensor] | None = None,
    schedule: Schedule | None = None,
    augment: Augment | None = None,
    on_step: Sequence[OnStep] = (),
    together: bool | None = None,
) -> tuple[Fit, ...]:
    r"""Train K models in place, as one program where that is possible.

    $$ \theta_k \leftarrow \theta_k - \text{optimizer}_k(\nabla\, \ell(f_{\theta_k}(x_{b_k}), y_{b_k})),
       \quad k = 1 \dots K $$

    A member is a function of its start, its seed and its options: whoever else is trained beside it, and whether they
    are trained as one or one by one, it comes out the same up to rounding. The seed gives the order of its batches,
    that of `minibatches`, and what dropout and other random functions inside the network draw. A member whose loss,
    parameters or buffers would cease to be finite stays as it was before that step, and the others go on.

    Args:
        models: K modules; to run as one they have one architecture, whose tensors may hold different values.
        x: samples `[n, ...]`: a tensor, a tuple of positional or a dict of keyword inputs.
        y: targets `[n, ...]`.
        loss: `loss(output, y)` returns a scalar.
        lr: learning rate, one for all members or one for each.
        steps: number of updates.
        batch_size: samples a batch, from 1 to `n`.
        optimizer: a class; `SGD`, `Adam`, `AdamW` and `RMSprop` of `torch.optim` run as one.
        options: further arguments of the optimizer, each a value for all or a list with one for each member.
        scales: by name of a parameter, factors on options of the optimizer, `{"head.weight": {"lr": 0.25}}`; 1 for what
            is not there.
        clip: largest norm of a member's gradient, one for all or one for each.
        seeds: one for each member; 0, 1, ... by default.
        rows: for each member the rows of `x` that it trains on, for instance a bootstrap sample; all by default.
        schedule: factor on every learning rate at step 0, 1, ...; see `warmup`.
        augment: `augment(x, y, generator)` changes the batch of one member, drawing from the member's generator.
        on_step: functions that are told a `Moment` after every step; they can look at the members and stop them. One by
            one they are told about a single member at a time, the first from its first step to its last, then the next.
        together: `True` trains as one or raises, `False` trains one by one; by default as one where that is possible
            and the members have at most 67 million parameters between them.

    Returns:
        For each model its losses, and whether it diverged.

    Raises:
        CannotStack: `together=True`, and the models cannot run as one; nothing has changed.
        TrainError: sizes that do not fit, or a loss that is no scalar with a gradient.

    Example:
        >>> import torch
        >>> x = torch.randn(32, 2)
        >>> models = [nn.Linear(2, 1) for _ in range(3)]
        >>> mse = nn.functional.mse_loss
        >>> runs = fit_many(models, x, x.sum(1, True), loss=mse, lr=[1e-3, 0.1, 1e30], steps=50, batch_size=8)
        >>> [run.diverged for run in runs], runs[1].losses[-1] < runs[0].losses[-1]
        ([False, False, True], True)
    """
    count = len(models)
    job = Job(
        models,
        x,
        y,
        loss,
        optimizer,
        options_of({"lr": per_member(lr, count, "lr")} | (options or {}), count),
        None if clip is None else per_member(clip, count, "clip"),
        batch_size,
        steps,
        per_member(range(count) if seeds is None else seeds, count, "seeds"),
        rows,
        schedule,
        augment,
        on_step,
        scales,
    )
    check(job)
    for own in job.options:
        known = complete(optimizer, own)
        check_scales(scales or {}, {name for name, _ in models[0].named_parameters()}, known)
    if together or (together is None and _size(models) <= LARGEST):
        try:
            return all_together(job)
        except CannotStack:
            if together:
                raise
    return one_by_one(job)


def _size(models: Sequence[nn.Module]) -> int:
    return len(models) * sum(p.numel() for p in models[0].parameters())
