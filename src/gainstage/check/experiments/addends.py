"""What a loss is the sum of, and how each of the addends goes with the output and with the size of the batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gainstage.check.experiments._quiet import Quiet
from gainstage.check.experiments.training import rows_of
from gainstage.run import Loss, call, map_tensors, objective, tensors_among, tensors_in, undisturbed
from gainstage.signal import op_name

_ADDS = frozenset({"add", "sub", "radd"})
_STEP = 0.1  # by which outputs are moved, over their level


@dataclass(frozen=True)
class Addend:
    """One addend of the loss.

    Attributes:
        number: in the order of the sum.
        value: its value, without the sign.
        pull: norm of its gradient with respect to the outputs.
        moved: the change of its value when the outputs are moved, whether or not a gradient tells of it.
        reaches: whether its gradient reaches any of the trained parameters.
        half: its value on half of the batch, over that on all of it: 1 for a mean, a half for a sum.
    """

    number: int
    value: float
    pull: float
    moved: float
    reaches: bool
    half: float


def addends(
    model: nn.Module,
    example: Any,
    target: Any,
    loss: Loss,
    output: Any,
    trained: Sequence[Tensor],
    *,
    batch: int,
    seed: int,
) -> list[Addend]:
    """One forward pass with gradients, and the loss asked about its output, a moved one, and half of it.

    Empty where the loss is no sum of scalars that depend on the outputs; `output`, of an earlier pass, shows that
    without another.
    """
    with undisturbed(model, example, target, loss, seed=seed), Quiet(), torch.enable_grad():
        if len(_addends_of(output, target, loss, seed)) < 2:
            return []
        output = call(model, example)
        outputs = [y for y in tensors_in(output) if y.is_floating_point() and y.requires_grad]
        whole = _addends_of(output, target, loss, seed)
        if len(whole) < 2 or not outputs:
            return []
        some = torch.arange(0, batch, 2)
        half = _addends_of(rows_of(_plain(output), batch, some), rows_of(target, batch, some), loss, seed)
        moved = _addends_of(map_tensors(output, _shifted), target, loss, seed)
        if not len(whole) == len(half) == len(moved):
            return []
        found = []
        for number, (a, b, c) in enumerate(zip(whole, half, moved, strict=True)):
            pulls: tuple[Tensor | None, ...] = (None,) * len(outputs)
            reaches = False
            if a.requires_grad:
                pulls = torch.autograd.grad(a, outputs, retain_graph=True, allow_unused=True)
                own = torch.autograd.grad(a, trained, retain_graph=True, allow_unused=True) if trained else ()
                reaches = any(g is not None and bool(g.to_dense().any()) for g in own)
            pull = sum(float(g.square().sum()) for g in pulls if g is not None) ** 0.5
            value = float(a.detach())
            share = float(b.detach()) / value if value else 1.0
            found.append(Addend(number, value, pull, abs(float(c.detach()) - value), reaches, share))
        return found


def reaches(model: nn.Module, example: Any, number: int, trained: Sequence[Tensor], *, seed: int) -> bool:
    """Whether the gradient of one tensor of the output reaches any of these parameters; one pass and its gradient."""
    with undisturbed(model, example, seed=seed), Quiet(), torch.enable_grad():
        y = list(tensors_in(call(model, example)))[number]
        if not y.requires_grad or not trained:
            return False
        noise = torch.randn(y.shape, generator=torch.Generator().manual_seed(0)).to(y)
        found = torch.autograd.grad((y * noise).sum(), trained, allow_unused=True)
        return any(g is not None and bool(g.to_dense().any()) for g in found)


def _plain(output: Any) -> Any:
    return map_tensors(output, Tensor.detach)


def _shifted(tensor: Tensor) -> Tensor:
    """A tensor with other entries near by, and without a graph."""
    if not tensor.is_floating_point() or not tensor.requires_grad:
        return tensor.detach()
    noise = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)).to(tensor)
    return (tensor + _STEP * tensor.detach().square().mean().sqrt() * noise).detach()


def _addends_of(output: Any, target: Any, loss: Loss, seed: int) -> list[Tensor]:
    """The scalars whose sum the loss is, as deep as sums are nested."""
    torch.manual_seed(seed)
    sums = _Sums()
    with sums:
        total, _ = objective(output, target, loss)
    return list(sums.leaves(total)) if sums.made else [total]


class _Sums(TorchFunctionMode):
    """Notes what every scalar sum was made of."""

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[int, tuple[Tensor, list[Tensor]]] = {}  # the sum is kept, so that ids stay unique

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dim() == 0 and result.is_floating_point():
            reads = [t for t in tensors_among((args, kwargs or {})) if t.dim() == 0]
            if (op_name(func) in _ADDS and len(reads) == 2) or (op_name(func) == "reshape" and len(reads) == 1):
                self.made[id(result)] = result, reads
        return result

    def leaves(self, tensor: Tensor) -> list[Tensor]:
        found = self.made.get(id(tensor))
        return [tensor] if found is None else [leaf for part in found[1] for leaf in self.leaves(part)]
