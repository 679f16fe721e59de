"""Operations that hold a weight only while they run: it is drawn for the call, and drawn again on the way back."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gainstage.streaming._norms import Dense, Factors, Part
from gainstage.streaming._weights import Weights

FEW = 2**20  # elements of a table that are drawn together, whether or not all of their rows are read
Give = Callable[[str, Part], None]  # a part of the gradient of a parameter


def times(x: Tensor, view: Tensor, weights: Weights) -> Tensor:
    """`x @ W` for a view of a parameter with two axes, drawn in blocks along the axis whose elements lie far apart."""
    axis, blocks = weights.blocks(view)
    flat, result = x.reshape(-1, x.shape[-1]), x.new_zeros(*x.shape[:-1], view.shape[1])
    y = result.view(len(flat), view.shape[1])
    for first, stop in blocks:
        block = weights.drawn(view.narrow(axis, first, stop - first))
        if axis:
            y[:, first:stop] = flat @ block
        else:
            y.addmm_(flat[:, first:stop], block)
    return result


def looked_up(ids: Tensor, table: Tensor, weights: Weights) -> Tensor:
    """Rows of a table; where these are few, no others are drawn."""
    name = weights.name_of(table)
    assert name is not None
    width = table[0].numel()
    found, where = torch.unique(ids, return_inverse=True)
    low, high = (int(found[0]), int(found[-1])) if len(found) else (0, -1)
    first = table.storage_offset() // max(width, 1)
    if not weights.in_parts(name) or (high - low) * width <= FEW:
        rows = weights.box(name, first + low, first + high + 1)[found - low]
    else:
        ends = [*(torch.nonzero(found.diff() != 1).flatten() + 1).tolist(), len(found)]
        runs = zip([0, *ends], ends, strict=False)
        rows = torch.cat([weights.box(name, first + int(found[a]), first + int(found[b - 1]) + 1) for a, b in runs])
    return rows[where.flatten()].reshape(*ids.shape, *table.shape[1:])


class Times(torch.autograd.Function):
    """`times` with a way back on which the weight is drawn again, and its gradient is kept as factors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, view: Tensor, weights: Weights, give: Give | None) -> Tensor:
        """`[..., in]` to `[..., out]`."""
        ctx.view, ctx.weights, ctx.give = view, weights, give
        ctx.save_for_backward(*([x] if give is not None else []))
        return times(x, view, weights)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        """`[..., out]` to `[..., in]`."""
        view, weights = ctx.view, ctx.weights
        if ctx.give is not None:
            (x,) = ctx.saved_tensors
            rows, columns = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
            if view.stride(0) < view.stride(1):
                rows, columns = columns, rows
            strides = (max(view.stride()), min(view.stride()))
            name = weights.name_of(view)
            ctx.give(name, Factors(view.storage_offset(), strides, rows, columns, rows.shape[1]))
        back = times(g, view.t(), weights) if ctx.needs_input_grad[0] else None
        return back, None, None, None, None


class LookUp(torch.autograd.Function):
    """`looked_up` with a gradient that is kept as the rows that were looked up."""

    @staticmethod
    def forward(
        ctx: Any, ids: Tensor, anchor: Tensor, table: Tensor, weights: Weights, give: Give, padding: int | None
    ) -> Tensor:
        """`[...]` to `[..., width]`."""
        ctx.ids, ctx.table, ctx.name, ctx.give, ctx.padding = ids, table, weights.name_of(table), give, padding
        return looked_up(ids, table, weights)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[None, ...]:
        """Nothing flows on: ids have no gradient."""
        ids, width = ctx.ids.flatten(), ctx.table[0].numel()
        inner = g.reshape(len(ids), width)
        if ctx.padding is not None:
            ids, inner = ids[ids != ctx.padding], inner[ids != ctx.padding]
        ctx.give(ctx.name, Factors(ctx.table.storage_offset(), (width, 1), ids, inner, len(ctx.table)))
        return (None,) * 6


class Drawn(torch.autograd.Function):
    """Rows of a parameter for any operation at all; their gradient is given away as it is."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, name: str, first: int, stop: int, weights: Weights, give: Give) -> Tensor:
        """The rows from `first` to before `stop`."""
        ctx.name, ctx.first, ctx.give = name, first, give
        return weights.box(name, first, stop)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[None, ...]:
        """Nothing flows on."""
        row = g[0].numel() if g.dim() else 1
        ctx.give(ctx.name, Dense(ctx.first * row, g.detach()))
        return (None,) * 6
