"""The second probe: what is small at the start (a gradient, a branch) may have grown after the others have moved."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments._plain import floats
from gainstage.check.experiments._quiet import Quiet
from gainstage.run import Loss, call, named_parameters, numbers, objective, real, sharded_like, undisturbed, whole
from gainstage.run import gradients as gradients_of
from gainstage.signal import has_reentrant_checkpoint

STEP = 1e-3  # what sign descent, and Adam in its first step, moves every entry by at the usual learning rate
MOST = 2  # two zero weights in a row (Fixup: last weight of a branch, output head) need two steps
LONGEST = 6  # while each step brings a gradient to parameters that had none (LeViT: zero scales one behind another)


def virtual_steps(
    model: nn.Module,
    example: Any,
    gradients: Mapping[str, Tensor],
    waiting: set[str],
    *,
    target: Any,
    loss: Loss | None,
    seed: int,
) -> dict[str, Tensor]:
    """Move every parameter against the sign of its gradient, twice or while that helps, and put everything back.

    Args:
        gradients: of the first pass, by parameter.
        waiting: names of the parameters whose gradient is missing, zero or nothing beside the others'.

    Returns:
        The gradients that parameters in `waiting` got, each at the first step where it is not `negligible`; of those
        that stay so, the last.
    """
    found: dict[str, Tensor] = {}
    current, waiting = dict(gradients), set(waiting)
    with _moving(model, seed) as move:
        for number in range(LONGEST):
            move(current)
            current, _ = _gradients(model, example, target, loss, seed)
            arrived = waiting - negligible(current, waiting)
            found |= {name: current[name] for name in arrived}
            waiting -= arrived
            if not waiting or (not arrived and number + 1 >= MOST):
                break
    return found | {name: current[name] for name in waiting if name in current}


def later(
    model: nn.Module, example: Any, gradients: Mapping[str, Tensor], *, target: Any, loss: Loss | None, seed: int
) -> tuple[list[Tensor], dict[str, Tensor]]:
    """The floating point outputs and the gradients after `MOST` such steps; everything is put back."""
    with _moving(model, seed) as move:
        current, output = dict(gradients), None
        for _ in range(MOST):
            move(current)
            current, output = _gradients(model, example, target, loss, seed)
        return floats(output), current


@contextmanager
def _moving(model: nn.Module, seed: int) -> Iterator[Callable[[Mapping[str, Tensor]], None]]:
    """A function that moves parameters against the signs of these gradients; afterwards all is as before."""
    named = dict(named_parameters(model))
    with undisturbed(model, seed=seed), Quiet(), torch.enable_grad():

        def move(gradients: Mapping[str, Tensor]) -> None:
            with torch.no_grad():
                for name, gradient in gradients.items():
                    parameter = named[name]
                    step = STEP * sharded_like(_direction(gradient.to_dense()), parameter)
                    if (values := numbers(parameter)) is parameter:
                        parameter.sub_(step)
                    else:
                        parameter.copy_(values.sub_(step))

        yield move


def _gradients(
    model: nn.Module, example: Any, target: Any, loss: Loss | None, seed: int
) -> tuple[dict[str, Tensor], Any]:
    torch.manual_seed(seed)
    output = call(model, example)
    total, _ = objective(output, target, loss)
    replays = has_reentrant_checkpoint(total)  # whose gradients arrive in no other way than in `.grad`
    return {name: numbers(whole(g)) for name, g in gradients_of(model, total, accumulate=replays).items()}, output


def _direction(gradient: Tensor) -> Tensor:
    """Nearly the sign, and a tenth of the gradient over its largest entry: by signs alone unlike units become alike."""
    largest = real(gradient).abs().max() if gradient.numel() else gradient.new_tensor(1.0)
    return gradient.sgn() + 0.1 * gradient / largest.clamp(min=1e-30).to(gradient.dtype)


def negligible(gradients: Mapping[str, Tensor], names: set[str]) -> set[str]:
    """Those of the names whose gradient is missing, zero, or at most 1e-7 (float32's rounding) of the largest."""
    if not gradients:
        return set(names)
    rms = [torch.linalg.vector_norm(real(g.to_dense())) / max(g.numel(), 1) ** 0.5 for g in gradients.values()]
    levels = dict(zip(gradients, torch.stack([r.to(rms[0].device) for r in rms]).tolist(), strict=True))
    floor = 1e-7 * max((level for level in levels.values() if level == level), default=0.0)
    return {name for name in names if levels.get(name, 0.0) <= floor}
