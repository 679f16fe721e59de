"""The user's own training step: what it does, watched from outside, and undone."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import nan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from gainstage.check.experiments._clipping import heard_clipping
from gainstage.check.experiments.optimizer_step import move
from gainstage.run import abroad, dense, named_modules, named_parameters, plainly, real, tensors_in, undisturbed

CALLS = 16  # momentum of 0.9 is built up after ten, and a schedule has moved
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
        batch: a fingerprint of what the model was called with; None where it was not called with numbers.
        clips: for each clipping of gradients, what was wrong with its moment; empty for nothing.
        limit: the norm that gradients were clipped at; 0 without.
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
    batch: tuple[float, ...] | None = None
    clips: list[str] = field(default_factory=list)
    limit: float = 0.0
    evaluating: bool | None = None


@dataclass(frozen=True)
class OwnStep:
    """What `train_step` did in some calls in a row.

    Attributes:
        calls: one entry a call.
        error: the exception that ended them, as text; empty for none.
        optimizers: those that made a step, in order.
        renewed: how many of these came in place of another, with the same parameters, and have a state.
        drifted: for each batch normalization whose statistics moved, how far: in stored standard deviations, or in
            e-folds of the variance, whichever is larger; median of the channels.
        scale: of the gradient scaler in use; 1 without.
        moved: parameters that were changed.
        broken: parameters that are NaN or infinite afterwards.
        flat: the last gradient that arrived at each parameter is exactly zero.
        slope: sum of gradient times change in the first call; below zero where the step goes downhill.
        size: sum of the norms of gradient times change, to compare `slope` with.
        skipped: a gradient scaler was in use, which may leave out steps.
        was_training: the model was in training mode before.
        after: what was asked of the trained model.
    """

    calls: tuple[Call, ...]
    error: str
    optimizers: tuple[Optimizer, ...]
    renewed: int
    drifted: Mapping[str, float]
    scale: float
    moved: frozenset[str]
    broken: frozenset[str]
    flat: bool
    slope: float
    size: float
    skipped: bool
    was_training: bool
    after: float

    @property
    def losses(self) -> list[float]:
        """What the calls returned."""
        return [call.loss for call in self.calls if call.loss is not None]


def own_step(
    model: nn.Module,
    train_step: Callable[[], Any],
    optimizer: Optimizer | None,
    seed: int,
    *,
    calls: int = CALLS,
    factor: float = 1.0,
    after: Callable[[], float] | None = None,
) -> OwnStep:
    """Call `train_step` some times, without gradients from before, and undo it.

    Undone are parameters, buffers, gradients, training flags, random states and what the step can reach
    (`undisturbed`). Data that it has drawn from an iterator is gone. A loop that makes no step is called up to 16
    times; one that runs out of data ends there.

    Args:
        calls: how often.
        factor: on every learning rate, at each step of an optimizer.
        after: called on the trained model before it is put back.
    """
    watch = _Watch(model, factor)
    with undisturbed(model, train_step, optimizer, seed=seed) as keeper, watch.hooks(keeper):
        for parameter in model.parameters():
            parameter.grad = None
        error = ""
        while not error and (len(watch.calls) < calls or (len(watch.calls) < PATIENCE and not watch.optimizers)):
            error = watch.run(train_step)
            if error.startswith("StopIteration") and len(watch.calls) > 2:
                watch.calls.pop()
                error = ""
                break
            if len(watch.calls) == 1:
                slope, size = watch.descent(keeper)
            if len(watch.calls) >= calls and (moved := watch.moved(keeper)) and not watch.optimizers:
                break  # it moves parameters by hand
        moved = watch.moved(keeper)
        broken = frozenset(name for name in moved if not bool(watch.named[name].isfinite().all()))
        scales = [scaler.get_scale() for scaler in keeper.scalers if scaler.is_enabled()]
        return OwnStep(
            tuple(watch.calls),
            error,
            tuple(watch.optimizers),
            _renewed(watch.optimizers),
            _drifted(model, keeper),
            scales[0] if scales else 1.0,
            moved,
            broken,
            bool(watch.levels) and _norm(watch.levels) == 0,
            slope,
            size,
            bool(scales),
            watch.was_training,
            after() if after is not None and not error else nan,
        )


def _renewed(optimizers: list[Optimizer]) -> int:
    """How many optimizers came in place of another that held the same parameters, and have a state to lose."""
    held = [frozenset(id(p) for group in o.param_groups for p in group["params"]) for o in optimizers]
    return sum(bool(o.state) and held[n] in held[:n] for n, o in enumerate(optimizers))


@torch.no_grad()
def _drifted(model: nn.Module, keeper: undisturbed) -> dict[str, float]:
    """How far the running statistics of batch normalizations have moved."""
    found = {}
    for path, layer in named_modules(model):
        if not isinstance(layer, nn.modules.batchnorm._BatchNorm) or layer.running_mean is None:
            continue
        assert layer.running_var is not None
        mean, variance = keeper.before(layer.running_mean), keeper.before(layer.running_var)
        with plainly():
            shift = (layer.running_mean - mean).abs() / (variance + layer.eps).sqrt()
            folds = ((layer.running_var + layer.eps) / (variance + layer.eps)).log().abs()
            moved = float(torch.maximum(shift, folds).median())
        if moved > 0:
            found[path] = moved
    return found


class _Watch:
    """Hooks that note what happens during a call."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        self.model, self.was_training, self.factor = model, model.training, factor
        self.rates: list[float] = []
        self.named = {name: p for name, p in named_parameters(model) if p.requires_grad and p.is_leaf}
        self.calls: list[Call] = []
        self.optimizers: list[Optimizer] = []
        self.modes = [m for m in model.modules() if _depends_on_mode(m)]
        self.gradients: dict[str, Tensor] = {}
        self.levels: dict[str, Tensor] = {}
        self.full: set[str] = set()  # whose `.grad` was not zero when a gradient arrived that may not go there
        self.added: set[str] = set()  # whose `.grad` has got one in this call

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
        stack.callback(register_optimizer_step_post_hook(self._stepped).remove)
        stack.enter_context(heard_clipping(self._clips))
        stack.callback(register_module_forward_pre_hook(self._runs).remove)

    def run(self, train_step: Callable[[], Any]) -> str:
        """One call; the text of the exception that ended it."""
        self.calls.append(Call())
        self.added.clear()
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
        self.calls[-1].reached.add(name)
        if name not in self.added:
            kept = parameter.grad is not None and bool(parameter.grad.to_dense().any())
            (self.full.add if kept else self.full.discard)(name)

    def _arrived(self, name: str, parameter: Tensor) -> None:
        assert parameter.grad is not None
        if name not in self.added and name in self.full:
            self.calls[-1].held.add(name)
        self.added.add(name)
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
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        if self.factor != 1:
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * self.factor

    def _stepped(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self.factor != 1:
            for group, rate in zip(optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate

    def _clips(self, limit: float) -> None:
        """Gradients are about to be clipped."""
        now = self.calls[-1]
        now.limit = limit
        fresh = now.reached and any(p.grad is not None and bool(p.grad.any()) for p in self.named.values())
        now.clips.append("" if fresh and not now.rates else "after the step" if now.rates else "before backward")

    def _runs(self, module: nn.Module, inputs: Any) -> None:
        if module is self.model and torch.is_grad_enabled():
            given = [t for t in tensors_in(inputs) if t.numel() and not t.is_complex()]
            if given and self.calls[-1].batch is None:
                self.calls[-1].batch = tuple(v for t in given for v in _fingerprint(t))
            self.calls[-1].evaluating = bool(self.modes) and not any(m.training for m in self.modes)


@torch.no_grad()
def _fingerprint(tensor: Tensor) -> list[float]:
    flat = tensor.detach().reshape(-1).double()
    weights = torch.linspace(1, 2, flat.numel(), dtype=torch.float64, device=flat.device)
    return torch.stack([flat.sum(), flat @ weights]).tolist()


def _norm(levels: Mapping[str, Tensor]) -> float:
    return float(torch.stack([level.cpu() for level in levels.values()]).norm()) if levels else 0.0


def _depends_on_mode(module: nn.Module) -> bool:
    """Whether training and evaluation mode differ, in a part that is trained."""
    if (own := list(module.parameters(recurse=False))) and not any(p.requires_grad for p in own):
        return False
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
