"""The user's own training step: what it does, watched from outside, and undone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gainstage.check.experiments.optimizer_step import move
from gainstage.run import abroad, dense, named_parameters, plainly, real, undisturbed

CALLS = 2  # the second shows what the first has left behind
PATIENCE = 16  # calls until a step must have been made, for loops that accumulate gradients on purpose


@dataclass
class Call:
    """What one call of `train_step` did.

    Attributes:
        loss: what it returned, as a number; None where that is no number.
        reached: parameters that a backward pass brought a gradient.
        held: of these, the ones whose gradient was not zero already when the first backward pass reached them.
        stepped: parameters that an optimizer stepped with a gradient.
        rates: learning rates of the optimizers at their steps.
        arrived, used: norm of the gradient over the stepped parameters, as it arrived and as it was used.
        evaluating: whether every dropout and batch normalization was in evaluation mode; None where the model was
            not called.
    """

    loss: float | None = None
    reached: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    stepped: set[str] = field(default_factory=set)
    rates: list[float] = field(default_factory=list)
    arrived: float = 0.0
    used: float = 0.0
    evaluating: bool | None = None


@dataclass(frozen=True)
class OwnStep:
    """What `train_step` did in a few calls in a row.

    Attributes:
        calls: one entry a call.
        error: the exception that ended them, as text; empty for none.
        optimizers: those that made a step, in order.
        moved: parameters that were changed.
        broken: parameters that are NaN or infinite afterwards.
        slope: sum of gradient times change in the first call; below zero where the step goes downhill.
        size: sum of the norms of gradient times change, to compare `slope` with.
        skipped: a gradient scaler was in use, which may leave out steps.
        was_training: the model was in training mode before.
    """

    calls: tuple[Call, ...]
    error: str
    optimizers: tuple[Optimizer, ...]
    moved: frozenset[str]
    broken: frozenset[str]
    slope: float
    size: float
    skipped: bool
    was_training: bool


def own_step(model: nn.Module, train_step: Callable[[], Any], optimizer: Optimizer | None, seed: int) -> OwnStep:
    """Call `train_step` twice, without gradients from before, and undo it.

    Undone are parameters, buffers, gradients, training flags, random states and what the step can reach
    (`undisturbed`). Data that it has drawn from an iterator is gone. A loop that makes no step is called up to 16
    times.
    """
    watch = _Watch(model)
    with undisturbed(model, train_step, optimizer, seed=seed) as keeper, watch.hooks(keeper):
        for parameter in model.parameters():
            parameter.grad = None
        error = ""
        while not error and (len(watch.calls) < CALLS or (len(watch.calls) < PATIENCE and not watch.optimizers)):
            error = watch.run(train_step)
            if len(watch.calls) == 1:
                slope, size = watch.descent(keeper)
            if len(watch.calls) >= CALLS and (moved := watch.moved(keeper)) and not watch.optimizers:
                break  # it moves parameters by hand
        moved = watch.moved(keeper)
        broken = frozenset(name for name in moved if not bool(watch.named[name].isfinite().all()))
        return OwnStep(
            tuple(watch.calls),
            error,
            tuple(watch.optimizers),
            moved,
            broken,
            slope,
            size,
            any(scaler.is_enabled() for scaler in keeper.scalers),
            watch.was_training,
        )


class _Watch:
    """Hooks that note what happens during a call."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.was_training = model, model.training
        self.named = {name: p for name, p in named_parameters(model) if p.requires_grad and p.is_leaf}
        self.calls: list[Call] = []
        self.optimizers: list[Optimizer] = []
        self.modes = [m for m in model.modules() if _depends_on_mode(m)]
        self.gradients: dict[str, Tensor] = {}
        self.levels: dict[str, Tensor] = {}

    @contextmanager
    def hooks(self, keeper: undisturbed) -> Iterator[None]:
        with ExitStack() as stack:
            self._register(stack, keeper)
            yield

    def _register(self, stack: ExitStack, keeper: undisturbed) -> None:
        for name, parameter in self.named.items():
            before = parameter.register_hook(partial(self._arrives, name, parameter))  # type: ignore[no-untyped-call]
            after = parameter.register_post_accumulate_grad_hook(partial(self._arrived, name))  # type: ignore[no-untyped-call]
            stack.callback(before.remove)
            stack.callback(after.remove)
        stack.callback(register_optimizer_step_pre_hook(partial(self._steps, keeper)).remove)
        stack.callback(register_module_forward_pre_hook(self._runs).remove)

    def run(self, train_step: Callable[[], Any]) -> str:
        """One call; the text of the exception that ended it."""
        self.calls.append(Call())
        try:
            with abroad():
                value = train_step()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        if isinstance(value, Tensor):
            value = float(value.detach()) if value.numel() == 1 else None
        self.calls[-1].loss = float(value) if isinstance(value, int | float) else None
        return ""

    def moved(self, keeper: undisturbed) -> frozenset[str]:
        """The parameters that differ from their start; NaN differs from everything."""
        return frozenset(n for n, p in self.named.items() if not torch.equal(dense(p), dense(keeper.before(p))))

    @torch.no_grad()
    def descent(self, keeper: undisturbed) -> tuple[float, float]:
        slope = size = 0.0
        for name, gradient in self.gradients.items():
            old, now, gradient = (dense(t) for t in (keeper.before(self.named[name]), self.named[name], gradient))
            with plainly():
                made = move(old, now, gradient)
            slope += made.slope
            size += made.update * float(self.levels[name])
        self.gradients.clear()
        return slope, size

    def _arrives(self, name: str, parameter: Tensor, gradient: Tensor) -> None:
        now = self.calls[-1]
        if name not in now.reached and parameter.grad is not None and bool(parameter.grad.to_dense().any()):
            now.held.add(name)
        now.reached.add(name)

    def _arrived(self, name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        gradient = parameter.grad.detach().to_dense()
        self.levels[name] = torch.linalg.vector_norm(real(gradient))
        begun = bool(self.calls[-1].rates)  # a step, whose closure may look at points on its way
        if len(self.calls) == 1 and not (begun and name in self.gradients):
            self.gradients[name] = gradient.clone()

    def _steps(self, keeper: undisturbed, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        keeper.keep(optimizer)
        if optimizer not in self.optimizers:
            self.optimizers.append(optimizer)
        now = self.calls[-1]
        now.rates += [float(group["lr"]) for group in optimizer.param_groups]
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        used = {n: p.grad for n, p in self.named.items() if id(p) in held and p.grad is not None}
        now.stepped |= used.keys()
        scale = next((s.get_scale() for s in keeper.scalers if s.is_enabled()), 1.0)
        now.arrived = _norm({n: self.levels[n] for n in used if n in self.levels}) / scale
        now.used = _norm({n: torch.linalg.vector_norm(real(g.to_dense())) for n, g in used.items()})

    def _runs(self, module: nn.Module, inputs: Any) -> None:
        if module is self.model and torch.is_grad_enabled():
            self.calls[-1].evaluating = bool(self.modes) and not any(m.training for m in self.modes)


def _norm(levels: Mapping[str, Tensor]) -> float:
    return float(torch.stack([level.cpu() for level in levels.values()]).norm()) if levels else 0.0


def _depends_on_mode(module: nn.Module) -> bool:
    """Whether training and evaluation mode differ, in a part that is trained."""
    if (own := list(module.parameters(recurse=False))) and not any(p.requires_grad for p in own):
        return False
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
