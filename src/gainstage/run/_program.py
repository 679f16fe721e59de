"""What a script computes between its data and the backward pass, kept so that it can be computed again.

A program is a list of calls: of modules, as a whole, and of the torch functions that the script calls around them.
Whatever was computed without a gradient (targets, noise, masks, what was detached) is a constant of it.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gainstage.run._example import leaves_among, map_tensors, tensors_in
from gainstage.run._lines import Line


@dataclass(frozen=True)
class Var:
    """The tensor at a position among those that a call has returned."""

    call: int
    position: int


@dataclass
class Call:
    """One call: of a module, where `what` is one, or of a torch function.

    Attributes:
        args, kwargs: as given, each computed tensor as its `Var`.
        made: the tensors returned, which are kept so that their identities stay theirs.
        writes: it writes to its first argument and returns nothing.
        autocast: device and dtype of the mixed precision that it ran under.
    """

    index: int
    what: Any
    args: Any
    kwargs: Any
    made: tuple[Tensor, ...]
    line: Line | None
    output: Any = None
    writes: bool = False
    autocast: tuple[str, torch.dtype] | None = None

    @property
    def module(self) -> nn.Module | None:
        """The module that is called; None for a function."""
        return self.what if isinstance(self.what, nn.Module) else None

    def reads(self) -> Iterator[Var]:
        """The computed tensors among its arguments."""
        yield from leaves_among((self.args, self.kwargs), Var)

    def constants(self) -> Iterator[Tensor]:
        """The given tensors among its arguments."""
        yield from leaves_among((self.args, self.kwargs), Tensor)


@dataclass
class Tracer:
    """Keeps the calls whose results need a gradient, and which tensor is whose."""

    most: int = 4000
    calls: dict[int, Call] = field(default_factory=dict)
    known: dict[int, tuple[Tensor, Var]] = field(default_factory=dict)
    count: int = 0
    copies: dict[int, tuple[Tensor, int, Tensor]] = field(default_factory=dict)

    def var(self, tensor: Tensor) -> Var | None:
        """Which call has made a tensor."""
        found = self.known.get(id(tensor))
        return found[1] if found is not None and found[0] is tensor else None

    def alias(self, tensor: Tensor, like: Tensor) -> None:
        """Take a tensor for another one: a loss for itself before it was scaled."""
        if (var := self.var(like)) is not None:
            self.known[id(tensor)] = (tensor, var)

    def symbols(self, value: Any) -> Any:
        """The value with each computed tensor as its `Var`, and each given one as a copy of what it now holds."""
        symbol: Any = lambda tensor: self.var(tensor) or self.copy(tensor)  # noqa: E731
        return map_tensors(value, symbol)

    def copy(self, tensor: Tensor) -> Tensor:
        """What the script may fill anew for its next pass, as it is: the same copy until it is written to."""
        if isinstance(tensor, nn.Parameter) or not tensor.is_leaf or tensor.is_inference():
            return tensor
        kept = self.copies.get(id(tensor))
        if kept is None or kept[0] is not tensor or kept[1] != tensor._version:
            made = tensor.detach().clone().requires_grad_(tensor.requires_grad)
            self.copies[id(tensor)] = kept = (tensor, tensor._version, made)
            if len(self.copies) > 256:
                del self.copies[next(iter(self.copies))]
        return kept[2]

    def add(self, what: Any, given: Any, result: Any, line: Line | None, *, written: Tensor | None = None) -> None:
        """Keep a call that was made on the `symbols` of its arguments; `written` is what it changed in place."""
        made = tuple(tensors_in(result)) if written is None else (written,)
        call = Call(self.count, what, given[0], given[1], made, line, result, written is not None, _autocast(made))
        self.calls[self.count] = call
        for position, tensor in enumerate(made):
            self.known[id(tensor)] = (tensor, Var(self.count, position))
        self.count += 1
        if len(self.calls) > self.most:
            old = self.calls.pop(next(iter(self.calls)))
            for tensor in old.made:
                if (found := self.known.get(id(tensor))) is not None and found[1].call == old.index:
                    del self.known[id(tensor)]

    def behind(self, loss: Tensor) -> list[Call]:
        """The calls that a tensor is computed by, in their order."""
        start = self.var(loss)
        todo, found = [start] if start is not None else [], dict[int, Call]()
        while todo:
            var = todo.pop()
            if var.call in self.calls and var.call not in found:
                call = found[var.call] = self.calls[var.call]
                todo += call.reads()
        return [found[index] for index in sorted(found)]


def replay(
    calls: list[Call], values: dict[Var, Tensor], constant: Callable[[Tensor], Tensor], module: Callable[[Any], Any]
) -> dict[Var, Tensor]:
    """Make the calls again.

    Args:
        calls: in their order.
        values: of tensors that are computed already; those of the calls are added.
        constant: what stands for a tensor that was given.
        module: what stands for a module or function that is called.
    """

    def of(value: Any) -> Any:
        if isinstance(value, Var):
            return values[value]
        return value

    for call in calls:
        args, kwargs = (map_tensors(given, constant, of) for given in (call.args, call.kwargs))
        with torch.autocast(*call.autocast[:1], dtype=call.autocast[1]) if call.autocast else nullcontext():
            result = module(call.what)(*args, **kwargs)
        made = (args[0],) if call.writes else tuple(tensors_in(result))
        for position, tensor in enumerate(made):
            values[Var(call.index, position)] = tensor
    return values


def _autocast(made: tuple[Tensor, ...]) -> tuple[str, torch.dtype] | None:
    """Device and dtype of the mixed precision that is on."""
    kind = made[0].device.type if made else "cpu"
    return (kind, torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else None
