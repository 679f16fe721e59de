r"""Norms of gradients that are never formed.

The gradient of a matrix is a sum of products over the rows of a batch, $G = \sum_i a_i b_i^\top$: of a linear layer
$a$ is the gradient of its output and $b$ its input. Then

$$ \lVert G \rVert^2 = \sum_{ij} (a_i \cdot a_j)(b_i \cdot b_j) $$

needs products of rows only (Goodfellow, *Efficient per-example gradient computations*, 2015). A look-up is the same
with $a_i$ the unit vector of the row that was looked up; a tied table is both at once.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

BLOCK = 2**22  # entries of a gradient, or of products of rows, at a time


@dataclass(frozen=True)
class Factors:
    """A gradient as a sum of products of rows.

    Attributes:
        start: the index of its first element in the parameter.
        strides: how far apart its rows are in the parameter, and its columns.
        outer: `[n, rows]`, or `[n]` whole numbers: the row that each looks up.
        inner: `[n, columns]`.
        rows: how many rows the gradient has.
    """

    start: int
    strides: tuple[int, int]
    outer: Tensor
    inner: Tensor
    rows: int

    @property
    def place(self) -> tuple[int, ...]:
        """Which elements of the parameter it is of."""
        return (self.start, *self.strides, self.rows, self.inner.shape[1])

    @property
    def span(self) -> tuple[int, int]:
        """The first of these elements and the last."""
        return self.start, self.start + (self.rows - 1) * self.strides[0] + (self.inner.shape[1] - 1) * self.strides[1]

    def block(self, first: int, stop: int) -> Tensor:
        """Rows of the gradient itself."""
        if self.outer.dim() == 2:
            return self.outer[:, first:stop].T @ self.inner
        here = (self.outer >= first) & (self.outer < stop)
        rows = self.inner.new_zeros(stop - first, self.inner.shape[1])
        return rows.index_add_(0, self.outer[here] - first, self.inner[here])


@dataclass(frozen=True)
class Dense:
    """A gradient that was formed, of the elements of a parameter from `start` on."""

    start: int
    values: Tensor

    @property
    def span(self) -> tuple[int, int]:
        """The first of these elements and the last."""
        return self.start, self.start + self.values.numel() - 1


Part = Factors | Dense


class Norms:
    """Collects the parts of every gradient, and takes its norm when the last has come.

    Args:
        sizes: the number of elements of every parameter.
        uses: how often each is read, where that is known.

    Attributes:
        uses: how often each parameter was read on the way forward: so many parts are waited for.
        squares: the squared norms that are known.
        waiting: the parts of the others.
    """

    def __init__(self, sizes: Mapping[str, int], uses: Counter[str] | None = None) -> None:
        self.sizes = sizes
        self.uses: Counter[str] = Counter() if uses is None else uses
        self.squares: dict[str, float] = {}
        self.waiting: dict[str, list[Part]] = {}
        self._came: Counter[str] = Counter()

    def add(self, name: str, part: Part) -> None:
        """One part of a gradient; the norm is taken when it is the last one."""
        parts = self.waiting.setdefault(name, [])
        same = next((i for i, p in enumerate(parts) if isinstance(p, Dense) and p.span == part.span), None)
        if isinstance(part, Dense) and same is not None:
            parts[same] = Dense(part.start, parts[same].values + part.values)  # type: ignore[union-attr]
        else:
            parts.append(part)
        self._came[name] += 1
        if self._came[name] == self.uses[name]:
            self._take(name)

    def finish(self) -> dict[str, float]:
        """The norm of every gradient, also of those of which a part was waited for that did not come."""
        for name in list(self.waiting):
            self._take(name)
        return {name: square**0.5 for name, square in self.squares.items()}

    def _take(self, name: str) -> None:
        self.squares[name] = square_of(self.waiting.pop(name), self.sizes[name])


def square_of(parts: list[Part], size: int) -> float:
    """The squared norm of a gradient of `size` elements, from its parts."""
    places: dict[tuple[int, ...], list[Part]] = defaultdict(list)
    for part in parts:
        places[part.place if isinstance(part, Factors) else part.span].append(part)
    spans = sorted(group[0].span for group in places.values())
    if all(before[1] < after[0] for before, after in pairwise(spans)):
        return sum(_square(group) for group in places.values())
    whole = torch.zeros(size, dtype=torch.float64)
    for part in parts:
        if isinstance(part, Dense):
            whole[part.start : part.span[1] + 1] += part.values.flatten()
        else:
            shown = whole.as_strided((part.rows, part.inner.shape[1]), part.strides, part.start)
            shown += part.block(0, part.rows)
    return float(whole.square().sum())


def _square(parts: list[Part]) -> float:
    """Of parts that are of the same elements."""
    factors = [part for part in parts if isinstance(part, Factors)]
    if not factors:
        return float(torch.linalg.vector_norm(_sum(parts), dtype=torch.float64)) ** 2
    if all(part.outer.dim() == 1 for part in factors):
        return _of_lookups(factors)
    n = sum(len(part.inner) for part in factors)
    rows, columns = factors[0].rows, factors[0].inner.shape[1]
    if n * (rows + columns) < rows * columns:
        pairs = ((i, j) for i in range(len(factors)) for j in range(i + 1))
        return max(sum((1 if i == j else 2) * _product(factors[i], factors[j]) for i, j in pairs), 0.0)
    step, total = max(BLOCK // columns, 1), 0.0
    for first in range(0, rows, step):
        block = sum(part.block(first, min(first + step, rows)) for part in factors)
        total += float(torch.linalg.vector_norm(torch.as_tensor(block), dtype=torch.float64)) ** 2
    return total


def _sum(parts: list[Part]) -> Tensor:
    return torch.stack([part.values for part in parts if isinstance(part, Dense)]).sum(0)


def _of_lookups(parts: list[Factors]) -> float:
    """Rows that were looked up more than once are added; the others stand alone."""
    rows, where = torch.unique(torch.cat([part.outer for part in parts]), return_inverse=True)
    inner = torch.cat([part.inner for part in parts])
    added = inner.new_zeros(len(rows), inner.shape[1]).index_add_(0, where, inner)
    return float(torch.linalg.vector_norm(added, dtype=torch.float64)) ** 2


def _product(a: Factors, b: Factors) -> float:
    r"""$\langle A, B \rangle$ of two gradients: the sum over all pairs of rows of both products."""
    total, step = 0.0, max(BLOCK // max(len(b.inner), 1), 1)
    for first in range(0, len(a.inner), step):
        rows = slice(first, first + step)
        total += float((_outer(a.outer[rows], b.outer) * _rows(a.inner[rows], b.inner)).sum())
    return total


def _outer(a: Tensor, b: Tensor) -> Tensor:
    if a.dim() == 1 and b.dim() == 1:
        return (a[:, None] == b).double()
    if a.dim() == 1:
        return b[:, a].T.double()
    return a[:, b].double() if b.dim() == 1 else _rows(a, b)


def _rows(a: Tensor, b: Tensor) -> Tensor:
    """The products of all rows of two matrices in double precision, some columns at a time."""
    step = max(BLOCK // max(len(a), len(b), 1), 1)
    total = torch.zeros(len(a), len(b), dtype=torch.float64)
    for first in range(0, a.shape[1], step):
        total += a[:, first : first + step].double() @ b[:, first : first + step].double().T
    return total


def to_data(parts: Mapping[str, list[Part]]) -> dict[str, list[tuple[Any, ...]]]:
    """Parts as plain values, for a file."""
    return {name: [tuple(getattr(p, f.name) for f in fields(p)) for p in of_one] for name, of_one in parts.items()}


def from_data(data: Mapping[str, list[tuple[Any, ...]]]) -> dict[str, list[Part]]:
    """What `to_data` was given."""
    return {name: [Dense(*p) if len(p) == 2 else Factors(*p) for p in parts] for name, parts in data.items()}
