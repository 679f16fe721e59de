"""The loss as an oracle: it can be asked about any output, and needs no model for that."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.check.experiments.training import rows_of
from gainstage.run import Loss, abroad, map_tensors, tensors_in, undisturbed

LARGEST = 2**22  # entries of an output that is tried several times
DESCENDED = 2**20  # and of one that is descended on
STEPS = 60  # of descent
_BETAS = 0.8, 0.99  # of the descent
_SAME = 1e-5  # float32's rounding of a sum of many terms


@dataclass(frozen=True)
class FreeOutput:
    """What the loss says of one tensor of the output, whatever the model: the others are held.

    Attributes:
        number: which of the output's tensors.
        values: of the pass, one row a sample.
        gradients: of the loss, at each output that was tried and whose loss is finite.
        tried: how many outputs were tried.
        exchanged: the gradient at the output of the pass, with every second sample's target that of the one before.
        level: the gradient where every sample has the same output, their mean; `level_exchanged` with the exchanged
            targets.
        others: the gradient at the output of the pass, with every second sample's output another.
        perfect: the loss of the target itself as the output; NaN where these are of other sizes or that is refused.
        curved: whether the loss is no linear function of a target of the same shape.
        descent: the losses on the way down from the output of the pass; empty where it is too large.
    """

    number: int
    values: Tensor
    gradients: tuple[Tensor, ...]
    tried: int
    exchanged: Tensor | None
    level: Tensor | None
    level_exchanged: Tensor | None
    others: Tensor | None
    perfect: float = nan
    curved: bool = False
    descent: tuple[float, ...] = field(default=())

    @property
    def silent(self) -> Tensor:
        """For each sample, whether no output that was tried gives it a gradient."""
        heard = torch.zeros(len(self.values), dtype=torch.bool, device=self.values.device)
        for gradient in self.gradients:
            heard |= gradient.reshape(len(gradient), -1).any(1)
        return ~heard

    @property
    def linear(self) -> bool:
        """Whether the gradient is the same, and not 0, at every output that was tried."""
        first = self.gradients[0] if self.gradients else None
        if first is None or len(self.gradients) < 3 or not bool(first.any()):
            return False
        size = float(first.abs().max())
        return all(float((g - first).abs().max()) <= _SAME * size for g in self.gradients)

    @property
    def heeds_target(self) -> bool:
        """Whether other targets give another gradient."""
        return self._moved(self.gradients[0] if self.gradients else None, self.exchanged)

    @property
    def alike(self) -> bool:
        """Whether samples with the same output, and different targets, are all given the same gradient by the targets.

        Then the best that the loss can be given is one answer for all; unless it compares all outputs with all targets
        as sets, where the gradient depends on the other samples' outputs.
        """
        level, first = self.level, self.gradients[0] if self.gradients else None
        if level is None or first is None or not bool(level.any()) or not self._moved(level, self.level_exchanged):
            return False
        if self.others is None or self._moved(first[::2], self.others[::2]):
            return False
        return float((level - level.mean(0)).abs().max()) <= _SAME * float(level.abs().max())

    @property
    def still_falling(self) -> float:
        """The part of the whole fall that the last quarter of the descent makes up; a quarter where it is even."""
        if len(self.descent) < STEPS or not self.descent[0] > self.descent[-1]:
            return 0.0
        return (self.descent[-STEPS // 4] - self.descent[-1]) / (self.descent[0] - self.descent[-1])

    @staticmethod
    def _moved(before: Tensor | None, after: Tensor | None) -> bool:
        if before is None or after is None:
            return False
        return float((after - before).abs().max()) > 100 * _SAME * float(before.abs().max())


class Asked:
    """`loss(output, target)` with one tensor of the output, or the target, in place of another."""

    def __init__(self, output: Any, target: Any, loss: Loss, seed: int) -> None:
        self.output, self.target, self.loss, self.seed = output, target, loss, seed
        self.tensors = list(tensors_in(output))

    def value(self, replaced: dict[int, Tensor], target: Any = None) -> Tensor:
        """The loss of the output with some of its tensors replaced."""
        numbers = {id(tensor): number for number, tensor in enumerate(self.tensors)}

        def choose(tensor: Tensor) -> Tensor:
            return replaced.get(numbers.get(id(tensor), -1), tensor)

        torch.manual_seed(self.seed)
        given = map_tensors(self.output, choose)
        with abroad():
            return self.loss(given, self.target if target is None else target).reshape(())

    def number(self, replaced: dict[int, Tensor], target: Any = None) -> float:
        """The loss as a number; NaN where it refuses this output."""
        try:
            return float(self.value(replaced, target).detach())
        except Exception:
            return nan

    def gradient(self, number: int, values: Tensor, target: Any = None) -> Tensor | None:
        """The gradient of the loss with respect to one tensor; None where the loss refuses it or is not finite."""
        leaf = values.detach().clone().requires_grad_()
        try:
            value = self.value({number: leaf.clone()}, target)
            if not value.requires_grad or not bool(value.isfinite()):
                return torch.zeros_like(values) if bool(value.isfinite()) else None
            (found,) = torch.autograd.grad(value, leaf, allow_unused=True)
        except Exception:  # not every number is an output
            return None
        found = torch.zeros_like(values) if found is None else found
        return found if bool(found.isfinite().all()) else None


@contextmanager
def asking(model: nn.Module, output: Any, target: Any, loss: Loss, seed: int) -> Iterator[Asked]:
    """Ask the loss, and leave no trace in what it can reach."""
    with undisturbed(model, target, loss, seed=seed), torch.enable_grad():
        yield Asked(output, target, loss, seed)


def free_outputs(model: nn.Module, output: Any, target: Any, loss: Loss, *, batch: int, seed: int) -> list[FreeOutput]:
    """Ask the loss about a few outputs: those of the pass, the same of other samples, larger and smaller ones.

    Only tensors with one row a sample, and without any pass of the model.
    """
    found = []
    with asking(model, output, target, loss, seed) as asked:
        others = rows_of(target, batch, torch.arange(batch) // 2 * 2)
        for number, y in enumerate(asked.tensors):
            if not y.is_floating_point() or y.dim() < 1 or y.shape[0] != batch or y.numel() > LARGEST:
                continue
            if not bool(y.isfinite().all()):
                continue
            one = y / y.square().mean().sqrt().clamp(min=1e-6)
            noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(seed)).to(y)
            far = max([3.0, *(float(t.square().mean().sqrt()) for t in tensors_in(target) if t.is_floating_point())])
            tried = [y, y.roll(1, 0), (y + y.roll(2, 0)) / 2, one, one + noise, far * noise, (one + noise).sigmoid()]
            gradients = [g for values in tried if (g := asked.gradient(number, values)) is not None]
            level = y.mean(0, keepdim=True).expand_as(y)
            descent = tuple(descended(asked, number, y)) if y.numel() <= DESCENDED and gradients else ()
            even = (torch.arange(batch) % 2 == 0).view(-1, *[1] * (y.dim() - 1)).to(y.device)
            asks: list[tuple[Any, ...]] = [(y, others), (level,), (level, others), (torch.where(even, y, noise),)]
            at = [asked.gradient(number, *ask) for ask in asks]
            answers = isinstance(target, Tensor) and target.numel() == y.numel()
            perfect = asked.number({number: target.to(y).reshape(y.shape)}) if answers else nan
            same = answers and target.is_floating_point() and target.shape == y.shape
            curved = same and _curved(asked, number, y)
            exchanged, level_of, level_exchanged, others_moved = at
            found.append(
                FreeOutput(
                    number,
                    y,
                    tuple(gradients),
                    len(tried),
                    exchanged=exchanged,
                    level=level_of,
                    level_exchanged=level_exchanged,
                    others=others_moved,
                    perfect=perfect,
                    curved=curved,
                    descent=descent,
                )
            )
    return found


def _curved(asked: Asked, number: int, y: Tensor) -> bool:
    """Whether the loss between two targets is not the mean of theirs."""
    low, middle, high = (asked.number({number: y}, torch.full_like(asked.target, t)) for t in (0.3, 0.5, 0.7))
    return abs(low + high - 2 * middle) > 1e-3 * max(abs(low), abs(high))


def descended(asked: Asked, number: int, start: Tensor) -> Iterator[float]:
    """The losses on the way down from an output, by steps of the same length whatever the slope (Adam)."""
    leaf = start.detach().float().clone().requires_grad_()
    level = float(leaf.detach().square().mean().sqrt())
    yield from descend([leaf], lambda: asked.value({number: leaf.to(start.dtype).clone()}), rate=0.3 * max(level, 0.3))


def descend(
    leaves: list[Tensor], value: Callable[[], Tensor], *, rate: float, steps: int = STEPS, redrawn: bool = False
) -> Iterator[float]:
    """The losses before each step of Adam, written out, on these leaves; ends where the loss is no number.

    Args:
        redrawn: numbers whose slope is exactly 0 are drawn anew at every step, normal of size 2.
    """
    generator = torch.Generator().manual_seed(0)
    moments = [(torch.zeros_like(leaf), torch.zeros_like(leaf)) for leaf in leaves]
    for number in range(1, steps + 1):
        for leaf in leaves:
            leaf.grad = None
        try:
            loss = value()
            if not loss.requires_grad or not isfinite(float(loss.detach())):
                return
            loss.backward(inputs=leaves)  # type: ignore[no-untyped-call]
        except Exception:
            return
        yield float(loss.detach())
        with torch.no_grad():
            for leaf, (mean, square) in zip(leaves, moments, strict=True):
                if leaf.grad is not None:
                    mean.lerp_(leaf.grad, 1 - _BETAS[0])
                    square.lerp_(leaf.grad.square(), 1 - _BETAS[1])
                    size = (square / (1 - _BETAS[1] ** number)).sqrt_().add_(1e-8)
                    leaf.addcdiv_(mean, size, value=-rate / (1 - _BETAS[0] ** number))
                if redrawn:
                    anew = 2 * torch.randn(leaf.shape, generator=generator).to(leaf)
                    still = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                    leaf.copy_(torch.where(still == 0, anew, leaf))


def lowest(losses: Iterator[float]) -> float:
    """The smallest of some losses; infinite without any."""
    return min(losses, default=inf)
