"""Curves drawn with characters, for the terminal."""

import math
from collections.abc import Mapping, Sequence

from gainstage._visible import visible

_MARKS = "o*+x"
_FRAMES = {True: ("│", "└", "─"), False: ("|", "+", "-")}


def chart(
    curves: Mapping[str, Sequence[float]],
    *,
    width: int = 80,
    height: int = 10,
    x: str = "step",
    y: str = "",
    unicode: bool = True,
) -> str:
    """Several curves over one axis that begins at 0; each has a mark of its own, so that no colour is needed.

    A column shows the mean of the values that fall into it. Values that are not finite are left out.

    Args:
        curves: name to values, at most four; value `i` belongs to step `i + 1`.
        width: columns of the whole drawing.
        height: rows of the plotted area.
        x: what the horizontal axis counts.
        y: what the vertical axis shows, with its unit.
        unicode: draw the frame with box characters; else ASCII only.

    Returns:
        The drawing, without a line break at its end. Where curves meet, the later one is seen.

    Example:
        >>> print(chart({"a": [3, 2, 1, 0], "b": [1, 1, 1, 1]}, width=14, height=4, y="loss", unicode=False))
        loss   o a   * b
        3.0 |ooo
            |   oo
            |*********
        0.0 |       oo
            +---------
             1 step  4
    """
    values = [v for curve in curves.values() for v in curve if math.isfinite(v)]
    if not values:
        return "(nothing to draw: no finite value)"
    upright, corner, flat = _FRAMES[unicode]
    top = max(max(values), 1e-12)
    steps = max(len(curve) for curve in curves.values())
    labels = {0: _short(top), height - 1: _short(0.0)}
    margin = max(map(len, labels.values())) + 2
    columns = width - margin
    grid = [[" "] * columns for _ in range(height)]
    for mark, curve in zip(_MARKS, curves.values(), strict=False):
        for column, value in enumerate(_binned(curve, columns, steps)):
            if value is not None:
                grid[round((1 - value / top) * (height - 1))][column] = mark
    legend = "   ".join(f"{mark} {visible(name)}" for mark, name in zip(_MARKS, curves, strict=False))
    rows = [f"{labels.get(i, ''):>{margin - 2}} {upright}{''.join(row)}".rstrip() for i, row in enumerate(grid)]
    ends = f"1{x:>{(columns + len(x)) // 2 - 1}}"
    return "\n".join(
        [
            f"{y}   {legend}".strip(),
            *rows,
            f"{'':>{margin - 1}}{corner}{flat * columns}",
            f"{'':>{margin}}{ends}{steps:>{columns - len(ends)}}",
        ]
    )


def _binned(curve: Sequence[float], columns: int, steps: int) -> list[float | None]:
    """The mean of the values that belong to each column; with fewer values than columns, the value it lies in."""
    means: list[float | None] = []
    for column in range(columns):
        first = column * steps // columns
        last = max(first + 1, (column + 1) * steps // columns)
        inside = [v for v in curve[first:last] if math.isfinite(v)]
        means.append(max(0.0, sum(inside) / len(inside)) if inside else None)
    return means


def _short(value: float) -> str:
    """Two digits that count: 2.3, 0.045, 1.2e+09."""
    return f"{value:.1f}" if 1 <= value < 1000 or value == 0 else f"{value:.2g}"
