"""A block in which a model without values runs as if it had them: every weight is drawn where it is read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from gainstage.run import map_tensors, tensors_among
from gainstage.streaming._norms import Norms, Part
from gainstage.streaming._products import Drawn, LookUp, Times, looked_up, times
from gainstage.streaming._weights import Weights, seen_through

SMALL = 2**16  # elements of a weight that may wait for the way back
Boxes = dict[int, tuple[tuple[str, int, int], Tensor]]  # rows that were drawn, by the memory they lie in
_DEVICE, _IS_META = Tensor.device.__get__, Tensor.is_meta.__get__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Later:
    """A tensor that is computed from parameters alone: how, so that it is computed where it meets a value."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    index: int | None


class Streaming(TorchFunctionMode):
    """Operations on values and weights run with weights that are drawn for the call and dropped after it.

    - What reads parameters alone (views, casts, `1 + weight`) has no values either; it is computed when it meets one.
    - A product with a matrix and a look-up in a table are done in parts (`Times`, `LookUp`).
    - Any other operation gets its weights whole. What it keeps of them for the way back is drawn again there.

    Args:
        weights: where values come from.
        norms: takes the parts of the gradients.
        counts: whether reads are counted in `norms.uses`: not where a block runs for the second time.
    """

    def __init__(self, weights: Weights, norms: Norms, *, counts: bool = True) -> None:
        super().__init__()
        self.weights, self.norms, self.counts = weights, norms, counts
        self.anchor = torch.zeros((), requires_grad=True)  # so that what reads no other value has a way back
        self._later: Any = WeakTensorKeyDictionary()  # of `_Later`

    def again(self, norms: Norms) -> "Streaming":
        """The same for a second run, in which reads are not counted."""
        other = Streaming(self.weights, norms, counts=False)
        other._later = self._later
        return other

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = list(tensors_among((args, kwargs)))
        empty = [t for t in given if t.is_meta and (t in self._later or self.weights.name_of(t) is not None)]
        if not empty:
            return func(*args, **kwargs)
        if func == _DEVICE:
            return torch.device("cpu")
        if func == _IS_META:
            return False
        if len(empty) == len(given):
            try:
                return self._put_off(func, tuple(args), kwargs)
            except (RuntimeError, NotImplementedError):
                pass  # it asks for a value
        elif (form := _FORMS.get(func)) is not None:
            found = form(self, *args, **kwargs)
            if found is not NotImplemented:
                return found
        return self._with_values(func, args, kwargs)

    def _put_off(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Only the shape of the result, and how it is computed; what draws by chance is computed once, and now."""
        with torch.no_grad(), _Chance() as chance:
            result = func(*args, **kwargs)
        if chance.taken:
            return self._with_values(func, args, kwargs)
        parts = [result] if isinstance(result, Tensor) else list(result) if isinstance(result, tuple | list) else []
        for i, part in enumerate(parts):
            if isinstance(part, Tensor) and part.is_meta and self.weights.name_of(part) is None:
                self._later[part] = _Later(func, args, kwargs, i if part is not result else None)
        return result

    def _with_values(self, func: Any, args: Any, kwargs: Any) -> Any:
        boxes: Boxes = {}
        args, kwargs = map_tensors((tuple(args), kwargs), lambda t: self._value(t, boxes))

        def pack(tensor: Tensor) -> Any:
            box = boxes.get(tensor.untyped_storage()._cdata)
            if box is None or tensor.numel() < SMALL:
                return tensor
            return box[0], tensor.shape, tensor.stride(), tensor.storage_offset()

        def unpack(kept: Any) -> Tensor:
            if isinstance(kept, Tensor):
                return kept
            (name, first, stop), shape, stride, offset = kept
            return torch.as_strided(self.weights.box(name, first, stop), shape, stride, offset)

        with saved_tensors_hooks(pack, unpack):
            return func(*args, **kwargs)

    def _value(self, tensor: Tensor, boxes: Boxes) -> Tensor:
        """What a tensor without values holds, with the way back to the parameter."""
        if not tensor.is_meta:
            return tensor
        if (name := self.weights.name_of(tensor)) is not None:
            first, stop = self.weights.rows_of(tensor)
            give = self._give(name)
            if give is None or not torch.is_grad_enabled():
                box = self.weights.box(name, first, stop)
            else:
                box = Drawn.apply(self.anchor, name, first, stop, self.weights, give)  # type: ignore[no-untyped-call]
            boxes[box.untyped_storage()._cdata] = (name, first, stop), box  # held, so that no other takes its address
            return seen_through(box, tensor, first)
        later: _Later | None = self._later.get(tensor)
        if later is None:
            return tensor
        args, kwargs = map_tensors((later.args, later.kwargs), lambda t: self._value(t, boxes))
        result = later.func(*args, **kwargs)
        found: Tensor = result if later.index is None else result[later.index]
        return found

    def _give(self, name: str) -> Callable[[str, Part], None] | None:
        """What takes the gradient of a parameter, if it has one; this read is counted."""
        if not self.weights.parameters[name].requires_grad:
            return None
        if self.counts:
            self.norms.uses[name] += 1
        return self.norms.add

    def product(self, x: Tensor, view: Tensor, bias: Tensor | None = None) -> Any:
        """`x @ view + bias`, where the view is a matrix of a parameter."""
        name = self.weights.name_of(view)
        if name is None or view.dim() != 2 or x.is_meta or x.dtype is not view.dtype or not _is_matrix(view):
            return NotImplemented
        give, view = self._give(name), view.detach()
        if torch.is_grad_enabled() and (give is not None or x.requires_grad):
            y = Times.apply(x, self.anchor, view, self.weights, give)  # type: ignore[no-untyped-call]
        else:
            y = times(x, view, self.weights)
        return y if bias is None else self._with_values(torch.add, (y, bias), {})

    def look_up(self, ids: Tensor, table: Tensor, padding: int | None = None) -> Any:
        """Rows of a table that begins with a row of a parameter."""
        name = self.weights.name_of(table)
        if name is None or ids.is_meta or not table.is_contiguous() or table.dim() < 1:
            return NotImplemented
        give = self._give(name)
        if torch.is_grad_enabled() and give is not None:
            if padding is not None and padding < 0:
                padding += len(table)
            given = ids, self.anchor, table.detach(), self.weights, give, padding
            return LookUp.apply(*given)  # type: ignore[no-untyped-call]
        return looked_up(ids, table, self.weights)


class _Chance(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Whether an operation draws random numbers, dropout for instance."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.taken = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.taken |= torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def _is_matrix(view: Tensor) -> bool:
    """Whether no two elements of a view are one."""
    (n, m), (a, b) = view.shape, view.stride()
    return n * m > 0 and (a >= m * b if a >= b else b >= n * a) and min(a, b) > 0


def _linear(mode: Streaming, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    return mode.product(input, weight.t(), bias) if weight.dim() == 2 else NotImplemented


def _matmul(mode: Streaming, input: Tensor, other: Tensor, **rest: Any) -> Any:
    return NotImplemented if rest or input.is_meta else mode.product(input, other)


def _addmm(mode: Streaming, input: Tensor, mat1: Tensor, mat2: Tensor, **rest: Any) -> Any:
    return NotImplemented if rest or mat1.is_meta else mode.product(mat1, mat2, input)


def _embedding(
    mode: Streaming,
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    plain = max_norm is None and not scale_grad_by_freq and weight.dim() == 2
    return mode.look_up(input, weight, padding_idx) if plain else NotImplemented


def _getitem(mode: Streaming, tensor: Tensor, index: Any) -> Any:
    """`W[i]` for a known number is a view, `W[ids]` a look-up."""
    if tensor.is_meta and isinstance(index, Tensor) and not index.is_meta and index.dtype in (torch.int64, torch.int32):
        if index.dim() == 0:
            return tensor[int(index)]
        return mode.look_up(index, tensor) if bool((index >= 0).all()) else NotImplemented
    return NotImplemented


_FORMS: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    torch.matmul: _matmul,
    Tensor.matmul: _matmul,
    Tensor.__matmul__: _matmul,
    torch.mm: _matmul,
    Tensor.mm: _matmul,
    torch.addmm: _addmm,
    F.embedding: _embedding,
    Tensor.__getitem__: _getitem,
}
