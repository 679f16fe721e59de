"""Which elements of a parameter a tensor without values reads, and those elements, drawn when they are asked for."""

from collections.abc import Iterator, Mapping
from math import prod

import torch
from torch import Tensor, nn

from gainstage.errors import GainstageError
from gainstage.plan import Plan, drawn_box
from gainstage.run import named_parameters

AT_ONCE = 2**24  # elements of a parameter that are drawn at a time where an operation can take it in parts


class Weights:
    """The parameters of a model on the meta device, as a plan draws them.

    A view of a parameter has no values, but its storage says of which parameter it is, and its strides which elements
    it reads. So rows that cover them are drawn, and looked at by the same strides.

    Args:
        model: its parameters are dense and on the meta device.
        plan: the laws.
        seed: of the streams.
        held: values of parameters that the plan leaves as they are.

    Attributes:
        elements: how many were drawn so far.

    Example:
        >>> import gainstage as gs
        >>> model = nn.Linear(4, 6, device="meta")
        >>> plan = gs.plan(model, torch.randn(2, 4))
        >>> weights = Weights(model, plan, seed=1, held={})
        >>> filled = nn.Linear(4, 6)
        >>> plan.apply(filled, seed=1)
        >>> torch.equal(weights.drawn(model.weight.t()[:, 2:3]), filled.weight.t()[:, 2:3])
        True
    """

    def __init__(self, model: nn.Module, plan: Plan, seed: int, held: Mapping[str, Tensor]) -> None:
        self._plan, self._seed, self._held = plan, seed, held
        named = dict(named_parameters(model))
        self._names = {p.untyped_storage()._cdata: name for name, p in named.items()}
        self.parameters: dict[str, Tensor] = dict(named)
        self._whole: tuple[str, Tensor] | None = None  # the last one whose law makes it as a whole
        self.elements = 0

    def name_of(self, tensor: Tensor) -> str | None:
        """The parameter that a tensor without values is a view of."""
        return self._names.get(tensor.untyped_storage()._cdata) if tensor.is_meta else None

    def rows_of(self, view: Tensor) -> tuple[int, int]:
        """The first row of the parameter that a view reads, and the row after the last."""
        parameter = self.parameters[self._names[view.untyped_storage()._cdata]]
        if not parameter.dim() or not view.numel():
            return 0, parameter.shape[0] if parameter.dim() else 1
        row = max(prod(parameter.shape[1:]), 1)
        last = view.storage_offset() + sum((n - 1) * s for n, s in zip(view.shape, view.stride(), strict=True))
        return view.storage_offset() // row, last // row + 1

    def box(self, name: str, first: int, stop: int) -> Tensor:
        """Rows of a parameter, from `first` to before `stop`; all of one without axes.

        Raises:
            GainstageError: nothing says what this parameter holds.
        """
        parameter, assignment = self.parameters[name], self._plan.assignments.get(name)
        if name in self._held:
            values = self._held[name]
            return values[first:stop].clone() if values.dim() else values.clone()
        if assignment is None or assignment.law is None:
            why = "it is not in the plan" if assignment is None else assignment.reason
            raise GainstageError(
                f"{name!r} has no values (meta device), its module's own code gives it none, and the plan leaves it: "
                f"{why}. Give it a law: plan.replace({{{name!r}: gs.init.normal(std=0.02)}})"
            )
        shape = tuple(parameter.shape)
        self.elements += (stop - first) * prod(shape[1:])
        if not shape or not self.in_parts(name):
            if self._whole is None or self._whole[0] != name:
                at = (0,) * len(shape)
                box = drawn_box(name, assignment, assignment.law, shape, self._seed, parameter.dtype, shape, at)
                self._whole = (name, box)
            return self._whole[1][first:stop].clone() if shape else self._whole[1].clone()
        size, at = (stop - first, *shape[1:]), (first, *(0 for _ in shape[1:]))
        return drawn_box(name, assignment, assignment.law, shape, self._seed, parameter.dtype, size, at)

    def in_parts(self, name: str) -> bool:
        """Whether a part of this parameter can be drawn without the rest of it."""
        assignment = self._plan.assignments.get(name)
        if name in self._held or assignment is None or assignment.law is None:
            return True
        return assignment.law.concrete(tuple(self.parameters[name].shape), assignment.fans).recipe() is not None

    def drawn(self, view: Tensor) -> Tensor:
        """The values that a view of a parameter has."""
        first, stop = self.rows_of(view)
        name = self._names[view.untyped_storage()._cdata]
        return seen_through(self.box(name, first, stop), view, first)

    def blocks(self, view: Tensor) -> tuple[int, Iterator[tuple[int, int]]]:
        """The axis of a matrix along which it is drawn in blocks, and where each begins and ends."""
        axis = 0 if view.stride(0) >= view.stride(1) else 1
        name = self._names[view.untyped_storage()._cdata]
        step = view.shape[axis]
        if self.in_parts(name):
            step = max(AT_ONCE // max(view.shape[1 - axis], 1), 1)
        return axis, ((a, min(a + step, view.shape[axis])) for a in range(0, view.shape[axis], step))


def seen_through(box: Tensor, view: Tensor, first: int) -> Tensor:
    """The values in a box of rows, from row `first` on, by the strides of a view of the whole parameter."""
    offset = view.storage_offset() - first * prod(box.shape[1:])
    return torch.as_strided(box, view.shape, view.stride(), offset)
