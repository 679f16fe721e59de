"""All members in one program: a forward pass, a backward pass and an update for all of them at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap

from gainstage.train._errors import TrainError
from gainstage.train._loop import Fit
from gainstage.train.many._alone import count_draws
from gainstage.train.many._draws import Draws, Numbers, numbers
from gainstage.train.many._errors import CannotStack
from gainstage.train.many._job import STOPPED, Batches, Job, Moment, check_loss
from gainstage.train.many._optimizers import Optimizers
from gainstage.train.many._rows import Rows, norms
from gainstage.train.many._stack import Stack, call, calm

LossOf = Callable[..., tuple[Tensor, dict[str, Tensor]]]


def together(job: Job) -> tuple[Fit, ...]:
    """Train the members of `job` in place as one program, or raise `CannotStack` before anything has changed."""
    stack = Stack(job.models)
    Optimizers(job.optimizer, job.options)  # raises before anything has changed
    with calm(stack.template, training=True):
        sizes = _tried(job, stack)
        optimizers = Optimizers(job.optimizer, job.options, stack.trained.factors(job.scales or {}))
        return _Run(job, stack, optimizers, sizes).run()


class _Run:
    """The members that are still training; those that are done were written back to their modules."""

    def __init__(self, job: Job, stack: Stack, optimizers: Optimizers, sizes: tuple[int, int]) -> None:
        self.job, self.stack, self.optimizers, self.sizes = job, stack, optimizers, sizes
        self.members = list(range(len(job.models)))
        self.seeds = list(job.seeds)
        self.batches = Batches(job)
        self.losses: list[list[float]] = [[] for _ in job.models]
        self.diverged = [False for _ in job.models]
        self.spare, self.gradients = stack.trained.copy(), stack.trained.copy()
        self.judged = [bool(fine.all()) for fine in stack.buffers.finite()]  # a mask of -inf is none of our concern
        self.stopped: set[int] = set()
        self.clip = None if job.clip is None else torch.tensor(job.clip, device=job.device)
        draws = Draws(strict=True) if sum(sizes) else None
        self.loss_of: LossOf = vmap(_loss_of(stack, job, draws), randomness="error")

    def run(self) -> tuple[Fit, ...]:
        try:
            for number, (x, y) in enumerate(self.batches):
                self._step(number, x, y)
                if not self.members:
                    break
        finally:
            for row in range(len(self.members)):
                self._write(row)
        return tuple(
            Fit(tuple(losses), self.diverged[k], stopped=STOPPED if k in self.stopped else None)
            for k, losses in enumerate(self.losses)
        )

    def _step(self, number: int, x: Any, y: Any) -> None:
        """One update; members whose state would not be finite leave with the one they had."""
        stack, buffers = self.stack, self.stack.buffers.copy()
        drawn = numbers(self.sizes, self.seeds, number, self.job.device)
        leaves = {name: view.requires_grad_() for name, view in stack.trained.views().items()}
        losses, replaced = self.loss_of(leaves, stack.constant.views(), buffers.views(), x, y, drawn)
        buffers.write(replaced)
        found = torch.autograd.grad(losses.sum(), list(leaves.values()))
        self.gradients.write(dict(zip(leaves, found, strict=True)))
        gradients, after = self.gradients.matrices, self.spare
        self._clip(gradients)
        self.optimizers.step(stack.trained.matrices, gradients, self.job.factor(number), after.matrices)
        losses = losses.detach()
        fine = self._fine(losses, after, buffers, exact=False)
        values, good = torch.stack([losses.double(), fine.double()]).tolist()  # the one look of the host at this step
        for member, value in zip(self.members, values, strict=True):
            self.losses[member].append(value)
        if not all(good) and not bool((fine := self._fine(losses, after, buffers, exact=True)).all()):
            good = fine.tolist()
            for member, ok in zip(self.members, good, strict=True):
                self.diverged[member] = not ok
            index = fine.nonzero()[:, 0]
            self._leave([row for row, ok in enumerate(good) if not ok])
            after, buffers, losses = after.keep(index), buffers.keep(index), losses[index]
        self.spare, stack.trained, stack.buffers = stack.trained, after, buffers
        if self.job.on_step and self.members:
            self._tell(number, losses)

    def _fine(self, losses: Tensor, trained: Rows, buffers: Rows, *, exact: bool) -> Tensor:
        """Whether all of a member is finite."""
        judged = [fine for fine, counts in zip(buffers.finite(exact=exact), self.judged, strict=True) if counts]
        return torch.stack([losses.isfinite(), *trained.finite(exact=exact), *judged]).all(0)

    def _clip(self, gradients: Sequence[Tensor]) -> None:
        if self.clip is None:
            return
        norm = torch.stack([norms(matrix) for matrix in gradients]).norm(dim=0)
        factor = (self.clip / (norm + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_
        for matrix in gradients:
            matrix.mul_(factor[:, None])

    def _tell(self, number: int, losses: Tensor) -> None:
        stack, members = self.stack, tuple(self.members)
        stopped: set[int] = set()

        def outputs(x: Any) -> Tensor:
            return stack.outputs(x, batch_size=1024)

        def state(k: int) -> dict[str, Tensor]:
            return {name: tensor.clone() for name, tensor in stack.member(members.index(k)).items()}

        def stop(k: int) -> None:
            stopped.add(members.index(k))

        moment = Moment(number, members, losses, outputs, state, stop)
        for told in self.job.on_step:
            told(moment)
        if stopped:
            self.stopped.update(members[row] for row in stopped)
            self._leave(sorted(stopped))

    def _leave(self, rows: list[int]) -> None:
        """Write these members back as the stack holds them, and go on without them."""
        for row in rows:
            self._write(row)
        kept = [row for row in range(len(self.members)) if row not in rows]
        self.members, self.seeds = [self.members[row] for row in kept], [self.seeds[row] for row in kept]
        index = torch.tensor(kept, dtype=torch.long, device=self.job.device)
        self.stack.keep(index)
        self.spare, self.gradients = self.stack.trained.copy(), self.stack.trained.copy()
        self.optimizers.keep(index)
        self.batches.keep(kept)
        self.clip = None if self.clip is None else self.clip[index]

    def _write(self, row: int) -> None:
        model = self.job.models[self.members[row]]
        own = dict(model.named_parameters()) | dict(model.named_buffers())
        with torch.no_grad():
            for name, values in (self.stack.trained.member(row) | self.stack.buffers.member(row)).items():
                own[name].copy_(values)


def _loss_of(stack: Stack, job: Job, draws: Draws | None) -> LossOf:
    """The loss of one member, a function of its tensors, its batch and its random numbers.

    Beside it the buffers that the network replaced; those that it wrote into have changed in place.
    """

    def loss_of(trained: Any, constant: Any, buffers: Any, x: Any, y: Any, drawn: Any) -> Any:
        tensors = trained | constant | buffers
        if draws is None:
            loss = job.loss(call(stack.template, tensors, x), y)
        else:
            with draws.given(Numbers(*drawn)):
                loss = job.loss(call(stack.template, tensors, x), y)
        return loss, {name: tensors[name] for name in buffers if tensors[name] is not buffers[name]}

    return loss_of


def _tried(job: Job, stack: Stack) -> tuple[int, int]:
    """One forward and backward pass that changes nothing: how many numbers a step draws.

    Parameters that get no gradient are held, as torch's optimizers leave them.
    """
    if job.steps == 0:
        return 0, 0
    x, y = next(iter(Batches(job)))
    counter = Draws(count=True, strict=True)
    views = {name: view.requires_grad_() for name, view in stack.trained.views().items()}
    others = stack.constant.views(), stack.buffers.copy().views()
    nothing = numbers((0, 0), job.seeds, 0, job.device)
    try:
        losses, _ = vmap(_loss_of(stack, job, counter), randomness="error")(views, *others, x, y, nothing)
        check_loss(losses, (len(job.models),))
        found = torch.autograd.grad(losses.sum(), list(views.values()), allow_unused=True)
    except TrainError:
        raise
    except Exception as error:
        count_draws(job.only(0))  # an error of the model's own passes
        raise CannotStack(
            f"torch.func.vmap cannot run this model or loss for many members at once: {type(error).__name__}: "
            f"{str(error).strip().splitlines()[0][:300]} Train its members one by one with together=False."
        ) from error
    stack.hold({name for name, gradient in zip(views, found, strict=True) if gradient is None})
    return counter.sizes
