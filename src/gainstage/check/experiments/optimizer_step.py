"""One step of the user's own optimizer on the example: what it does to every parameter and to the loss."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gainstage.check.experiments._quiet import Quiet
from gainstage.run import (
    Loss,
    call,
    foreign,
    named_parameters,
    objective,
    plainly,
    real,
    sharded_like,
    undisturbed,
    whole,
)

_AT_ONCE = 2**17  # entries of a parameter that are compared at a time, within the cache
_EVALUATIONS = 4  # of the loss, in the one step of an optimizer that evaluates it itself (LBFGS: 20 by default)


@dataclass(frozen=True)
class Move:
    r"""What a step did to one parameter.

    Attributes:
        weight: $\lVert w \rVert$ before the step.
        update: $\lVert \Delta \rVert$, the norm of the change.
        slope: $g \cdot \Delta$: the change of the loss that the gradient predicts.
        lost: share of the entries with a gradient that are bit for bit as before.
        finite: whether all entries are finite after the step.
    """

    weight: float
    update: float
    slope: float
    lost: float
    finite: bool

    @property
    def ratio(self) -> float:
        """Update over weight; NaN for a weight of zero."""
        return self.update / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class OptimizerStep:
    """What one step of an optimizer did.

    Attributes:
        moves: by parameter; only those that the optimizer holds and that got a gradient.
        before: the loss before.
        losses: the loss after the step, and after each further one on the same batch.
    """

    moves: Mapping[str, Move]
    before: float
    losses: tuple[float, ...]

    @property
    def slope(self) -> float:
        """The change of the loss that the gradient predicts."""
        return sum(move.slope for move in self.moves.values())


def optimizer_step(
    model: nn.Module,
    example: Any,
    optimizer: Optimizer,
    gradients: Mapping[str, Tensor],
    before: float,
    *,
    target: Any,
    loss: Loss | None,
    seed: int,
    further: int = 0,
    patience: float = 0.0,
    factor: float = 1.0,
) -> OptimizerStep:
    """Let the optimizer make its step with these gradients, read the loss, and put everything back bit for bit.

    One forward pass, and for each of `further` steps one more forward and one backward pass. Optimizer state,
    parameter groups and gradients come back as they were; a learning rate schedule is not involved.

    Args:
        gradients: of the observed pass, by parameter.
        before: the loss of that pass.
        further: steps on the same batch after the first.
        patience: stop these when the loss is below its start, unless it has been this many times its start.
        factor: on every learning rate.
    """
    named = {name: p for name, p in named_parameters(model) if p.requires_grad}
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    moved = {name: g for name, g in gradients.items() if id(named[name]) in held}

    def value() -> Tensor:
        torch.manual_seed(seed)
        return objective(call(model, example), target, loss)[0]

    def gradient() -> Tensor:
        for parameter in named.values():
            parameter.grad = None
        total = value()
        foreign("the backward pass")(total.backward)()
        return total.detach()

    with undisturbed(model, optimizer, seed=seed) as keeper, Quiet():
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * factor
            for parameter in group["params"]:
                parameter.grad = None
        trusted = type(optimizer).__module__.startswith("torch.optim")  # to leave gradients as they are
        for name, gathered in gradients.items():
            grad = sharded_like(gathered, named[name])
            named[name].grad = grad if trusted and _laid_out_like(named[name], grad) else _laid_out(named[name], grad)
        losses = []
        for number in range(further + 1):
            if number:
                with torch.enable_grad():
                    gradient()
            make_step(optimizer, gradient)
            if not number:
                moves = _moves(keeper, {name: named[name] for name in moved}, moved)
            with torch.no_grad():
                losses.append(float(value()))
            if losses[-1] != losses[-1] or (number and losses[-1] < before < max(losses) < patience * before):
                break
    return OptimizerStep(moves, before, tuple(losses))


def _laid_out_like(parameter: Tensor, gradient: Tensor) -> bool:
    return gradient.layout is not torch.strided or gradient.stride() == parameter.stride()


def _laid_out(parameter: Tensor, gradient: Tensor) -> Tensor:
    """A copy of the gradient with the strides that a backward pass leaves in `.grad`."""
    if gradient.layout is not torch.strided:
        return gradient.clone()
    return torch.empty_like(parameter).copy_(gradient)


def make_step(optimizer: Optimizer, closure: Any) -> None:
    """One step; an optimizer that evaluates the loss itself is given few evaluations."""
    needed = inspect.signature(optimizer.step).parameters.get("closure")
    if needed is None or needed.default is not inspect.Parameter.empty:
        optimizer.step()
        return
    for group in optimizer.param_groups:
        group |= {key: min(group[key], _EVALUATIONS) for key in ("max_iter", "max_eval") if key in group}
    with torch.enable_grad():
        optimizer.step(closure)


@torch.no_grad()
def _moves(keeper: undisturbed, parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor]) -> dict[str, Move]:
    moves = {}
    for name, parameter in parameters.items():
        old, now = whole(keeper.before(parameter)), whole(parameter)
        with plainly():
            moves[name] = move(old, now, gradients[name])
    return moves


@torch.no_grad()
def move(old: Tensor, now: Tensor, gradient: Tensor) -> Move:
    """What lies between two states of a parameter, read piece by piece."""
    old, now, gradient = (real(t.to_dense()).flatten() for t in (old, now, gradient))
    rows = []
    for w, v, g in zip(*(torch.split(t, _AT_ONCE) for t in (old, now, gradient.to(now.dtype))), strict=True):
        change = v - w
        lost = torch.count_nonzero(torch.logical_and(change == 0, g))
        norms = torch.linalg.vector_norm(w), torch.linalg.vector_norm(change)
        rows.append([*norms, torch.dot(change, g), lost, torch.count_nonzero(g)])
    if not rows:
        return Move(0.0, 0.0, 0.0, 0.0, True)
    columns = [torch.stack(column).double() for column in zip(*rows, strict=True)]
    weight, update, slope, lost, asked = torch.stack(
        [torch.linalg.vector_norm(c) for c in columns[:2]] + [c.sum() for c in columns[2:]]
    ).tolist()
    return Move(weight, update, slope, lost / max(asked, 1), isfinite(update))
