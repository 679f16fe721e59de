"""The memory behind tensors, kept as bytes: exact for every dtype, NaN, quantized value, view and overlap."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch._subclasses import FakeTensor
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

_AT_ONCE = 2**18  # bytes: what is no larger is copied when it is met, whoever may write to it and however


class Memory:
    """Copies of the memory behind tensors, taken at the latest before it is written, and put back bit for bit.

    What is small is copied at once, so that it comes back whatever writes to it, also past torch (NumPy, C). What is
    larger is copied when `before_write` announces it: running a model that writes to no weight copies no weight.
    """

    def __init__(self) -> None:
        self._spans: dict[int, _Span] = {}

    def keep(self, tensor: Tensor) -> None:
        """Answer for the memory behind a dense tensor."""
        storage = tensor.untyped_storage()
        span = self._spans.get(storage._cdata)
        if span is None:
            self._spans[storage._cdata] = span = _Span(storage)
        span.cover(*_extent(tensor))

    def before_write(self, tensor: Tensor) -> None:
        """Copy what `tensor` shares with kept tensors, unless that has been done."""
        if self._spans and (span := self._spans.get(_storage_of(tensor))) is not None:
            span.copy()

    def before(self, tensor: Tensor) -> Tensor:
        """The values that a kept dense tensor had; itself where nothing was written."""
        span = self._spans.get(_storage_of(tensor))
        return tensor if span is None or span.saved is None else span.old(tensor)

    def restore(self, failed: list[tuple[str, BaseException]]) -> None:
        """Put all bytes back; what goes wrong is added to `failed`."""
        for span in self._spans.values():
            try:
                span.put_back()
            except BaseException as error:
                failed.append(("the values of a tensor", error))


class _Span:
    """One storage, from the first to the last kept byte."""

    def __init__(self, storage: torch.UntypedStorage) -> None:
        self.storage, self.size = storage, storage.nbytes()
        self.start, self.stop = self.size, 0
        self.saved: Tensor | None = None

    def cover(self, start: int, stop: int) -> None:
        """Answer for these bytes too; what was copied before they came stays as it was then."""
        start, stop = min(self.start, start), max(self.stop, min(stop, self.size))
        if (start, stop) == (self.start, self.stop):
            return
        older, at, self.saved = self.saved, self.start - start, None
        self.start, self.stop = start, stop
        if older is not None or stop - start <= _AT_ONCE:
            self.copy()
            if older is not None and self.saved is not None:
                self.saved[at : at + older.numel()] = older

    def copy(self) -> None:
        if self.saved is None and self.stop > self.start:
            self.saved = self.view().clone()

    def view(self) -> Tensor:
        """The bytes as a tensor of its own: writing to it counts up no version of another."""
        empty = torch.empty(0, dtype=torch.uint8, device=self.storage.device)
        found: Tensor = empty.set_(self.storage, self.start, (self.stop - self.start,), (1,))
        return found

    def put_back(self) -> None:
        if self.saved is None and self.size:
            return
        if self.storage.nbytes() != self.size and self.storage.resizable():
            self.storage.resize_(self.size)
        now = self.view()
        if self.saved is not None and not torch.equal(now, self.saved):
            now.copy_(self.saved)

    def old(self, tensor: Tensor) -> Tensor:
        """What a tensor over this storage held."""
        assert self.saved is not None
        size = tensor.element_size()
        offset, rest = divmod(int(tensor.storage_offset()) * size - self.start, size)
        saved = self.saved[rest:].clone() if rest else self.saved
        empty = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        return empty.set_(saved.untyped_storage(), offset, tensor.shape, tensor.stride())


def dense_parts(tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The dense tensors that hold the values of a tensor, by attribute: of a sparse one, a DTensor, any wrapper."""
    if is_traceable_wrapper_subclass(tensor):
        for name, inner in parts_of(tensor):
            yield from ((name, part) for _, part in dense_parts(inner))
    elif tensor.layout is torch.sparse_coo:
        yield "_indices", tensor._indices()
        yield "_values", tensor._values()
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (("", part) for part in (tensor.crow_indices(), tensor.col_indices(), tensor.values()))
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (("", part) for part in (tensor.ccol_indices(), tensor.row_indices(), tensor.values()))
    elif tensor.layout is torch.strided and has_data(tensor):
        yield "", tensor


def parts_of(tensor: Tensor) -> list[tuple[str, Tensor]]:
    """The tensors that a wrapper (a DTensor, a quantized weight) holds, by attribute; none for any other tensor."""
    if not is_traceable_wrapper_subclass(tensor):
        return []
    named = ((name, getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return [(name, part) for name, part in named if isinstance(part, Tensor)]


class Emptied:
    """The memory that something without values was written to: what it holds is not what the model computes."""

    def __init__(self) -> None:
        self._held: dict[int, torch.UntypedStorage] = {}

    def add(self, tensor: Tensor) -> None:
        """All views of this tensor have no values from now on."""
        storage = tensor.untyped_storage()
        self._held[storage._cdata] = storage

    def __contains__(self, tensor: Tensor) -> bool:
        return bool(self._held) and _storage_of(tensor) in self._held

    def clear(self) -> None:
        """Nothing is emptied."""
        self._held.clear()


emptied = Emptied()  # filled and cleared by `Valueless`


def has_data(tensor: Tensor) -> bool:
    """Whether a tensor has values: not on the meta device, not a fake one, not a lazy parameter."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor) or is_lazy(tensor) or tensor in emptied)


def _storage_of(tensor: Tensor) -> int:
    """The identity of a tensor's storage; 0 where it has none of its own."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError, ValueError):  # sparse and lazy tensors, wrappers
        return 0


def _extent(tensor: Tensor) -> tuple[int, int]:
    """First byte and end of what a strided tensor can reach in its storage."""
    size, start = tensor.element_size(), int(tensor.storage_offset()) * tensor.element_size()
    if not tensor.numel():
        return start, start
    last = sum((n - 1) * int(stride) for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * size
