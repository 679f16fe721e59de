"""Which site every tensor of a pass comes from."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from gainstage.run import named_parameters, parts_of
from gainstage.signal._sites import Ref


class Provenance:
    """Where tensors come from, and what those are called that the model holds.

    Attributes:
        ties: every further name of a shared parameter, with its first.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._made: Any = WeakTensorKeyDictionary()
        self._held: dict[int, tuple[Tensor, Ref]] = {}  # no weak reference, which would pin them (swap_tensors)
        self.look_again()

    def look_again(self) -> None:
        """Read the names of what is registered now: FSDP gathers parameters, a first pass may make some."""
        self._names: dict[int, tuple[str, str]] = {}
        self.ties: dict[str, str] = {}
        for name, buffer in self._model.named_buffers(remove_duplicate=False):
            self._names.setdefault(id(buffer), ("buffer", name))
        for name, parameter in named_parameters(self._model, remove_duplicate=False):
            first = self._names.setdefault(id(parameter), ("parameter", name))[1]
            if first != name:
                self.ties[name] = first

    def named(self, tensor: Tensor) -> tuple[str, str] | None:
        """Kind (`"parameter"` or `"buffer"`) and name of what the model holds."""
        if id(tensor) not in self._names and isinstance(tensor, nn.Parameter):
            self.look_again()
        return self._names.get(id(tensor))

    def get(self, tensor: Tensor) -> Ref | None:
        """The output of a site that a tensor is; None for one that has not been seen."""
        held = self._held.get(id(tensor))
        if held is not None:
            return held[1]
        found: Ref | None = self._made.get(tensor)
        return found

    def put(self, tensor: Tensor, ref: Ref) -> None:
        """A tensor, with what it wraps, is this output from now on."""
        if id(tensor) in self._names or isinstance(tensor, nn.Parameter):
            self._held[id(tensor)] = tensor, ref
        else:
            self._made[tensor] = ref
        for part in _inside(tensor):
            self._made[part] = ref

    def behind(self, tensor: Tensor) -> Tensor | None:
        """What an unseen tensor is a view of or wraps, if that is known."""
        candidates = (tensor._base, *_inside(tensor))
        known = (t for t in candidates if t is not None and (self.get(t) is not None or self.named(t) is not None))
        return next(known, None)


def _inside(tensor: Tensor) -> Iterator[Tensor]:
    """What a wrapper holds: a DTensor its shard, a tensor of `torch.func` what it is at every level below."""
    yield from (part for _, part in parts_of(tensor))
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
        yield tensor
