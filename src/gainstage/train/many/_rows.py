"""The tensors of K members in one matrix: row k is member k."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Layout = tuple[tuple[tuple[str, tuple[int, ...]], ...], ...]


class Rows:
    """The named tensors of K members, one matrix `[K, elements]` for each dtype.

    What is done to every element (an optimizer's update, a norm, a copy, dropping a member) is then one operation on a
    matrix, however many parameters there are; the network sees views `[K, *shape]` of it.
    """

    def __init__(self, layout: Layout, matrices: Sequence[Tensor]) -> None:
        self.layout = layout
        self.matrices = tuple(matrices)

    @classmethod
    def of(cls, members: Sequence[Mapping[str, Tensor]], *, apart: bool = False) -> "Rows":
        """Copies of the tensors of all members, which have the same names, shapes and dtypes.

        With `apart` every tensor has a matrix of its own and its view is contiguous. Buffers need that: `vmap` writes
        running statistics into a copy, in silence, where the buffer is not contiguous.
        """
        named = list(members[0].items())
        dtypes = list(dict.fromkeys(t.dtype for _, t in named))
        groups = [[item] for item in named] if apart else [[i for i in named if i[1].dtype == d] for d in dtypes]
        layout = tuple(tuple((name, tuple(t.shape)) for name, t in group) for group in groups)
        matrices = [
            torch.stack([torch.cat([member[name].detach().reshape(-1) for name, _ in entries]) for member in members])
            for entries in layout
        ]
        return cls(layout, matrices)

    def views(self) -> dict[str, Tensor]:
        """Every tensor by name, `[K, *shape]`, sharing memory with the matrices."""
        found: dict[str, Tensor] = {}
        for entries, matrix in zip(self.layout, self.matrices, strict=True):
            parts = torch.split(matrix, [math.prod(shape) for _, shape in entries], 1)
            for (name, shape), part in zip(entries, parts, strict=True):
                found[name] = part.view(len(matrix), *shape)
        return found

    def member(self, row: int) -> dict[str, Tensor]:
        """The tensors of one member, sharing memory."""
        return {name: view[row] for name, view in self.views().items()}

    def write(self, tensors: Mapping[str, Tensor]) -> None:
        """Overwrite some of the stacked tensors."""
        if tensors:
            views = self.views()
            for name, values in tensors.items():
                views[name].copy_(values.detach())

    def factors(self, scales: Mapping[str, Mapping[str, float]]) -> list[dict[str, Tensor]]:
        """For every matrix, the factors by option as rows `[1, elements]`; those that are 1 throughout are left out."""
        options = sorted({option for own in scales.values() for option in own})
        found = []
        for entries in self.layout:
            rows = {
                option: torch.cat(
                    [torch.full((math.prod(shape),), scales.get(name, {}).get(option, 1.0)) for name, shape in entries]
                )[None]
                for option in options
                if entries
            }
            found.append({option: row for option, row in rows.items() if bool((row != 1).any())})
        return found

    def copy(self) -> "Rows":
        """The same values in memory of their own."""
        return Rows(self.layout, [matrix.clone() for matrix in self.matrices])

    def keep(self, index: Tensor) -> "Rows":
        """The rows `index` alone, in memory of their own."""
        return Rows(self.layout, [matrix[index] for matrix in self.matrices])

    def finite(self, *, exact: bool = True) -> list[Tensor]:
        """For every matrix of numbers that could be otherwise, whether each row is finite, `[K]`.

        Without `exact` it is whether the row's norm is, ten times as fast: false also where squares overflow.
        """
        able = [m for m in self.matrices if (m.is_floating_point() or m.is_complex()) and m.shape[1]]
        return [m.isfinite().all(1) if exact else norms(m).isfinite() for m in able]


def norms(matrix: Tensor) -> Tensor:
    """The Euclidean norm of every row; half precision is summed, and given, in float32."""
    wide = torch.float32 if matrix.dtype in (torch.float16, torch.bfloat16) else None
    found: Tensor = torch.linalg.vector_norm(matrix, dim=1, dtype=wide)
    return found
