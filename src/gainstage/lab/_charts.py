"""Figures drawn by Altair, for marimo and as pictures: arguments as in `_figures`. No number is computed here."""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import altair as alt

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")  # Okabe and Ito
DASHES = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2), (4, 4), (1, 3), (10, 3))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")

Rows = Sequence[Mapping[str, Any]]


def lines(
    rows: Rows,
    x: str,
    y: str,
    *,
    by: str | None = None,
    says: str,
    log_x: bool = False,
    log_y: bool = False,
    points: bool = True,
    height: int = 260,
) -> alt.Chart:
    """`lab.lines` by Altair."""
    kept, left_out = _drawable(rows, x, y, log_x, log_y)
    ax = alt.X(_name(x), type="quantitative", title=x, scale=_scale(log_x))
    ay = alt.Y(_name(y), type="quantitative", title=y, scale=_scale(log_y), axis=_axis(log_y))
    encode: dict[str, Any] = {"x": ax, "y": ay}
    if by is not None:
        names = list(dict.fromkeys(row[by] for row in rows))
        encode |= _told_apart(by, names, points)
    tip = _tips(rows, by, x, y)
    mark = alt.Chart(_data(kept)).mark_line(point={"size": 40, "filled": True} if points else False)
    return _finish(mark.encode(**encode, tooltip=tip), says, height, left_out)


def points(
    rows: Rows,
    x: str,
    y: str,
    *,
    by: str | None = None,
    says: str,
    log_x: bool = False,
    log_y: bool = False,
    height: int = 260,
) -> alt.Chart:
    """`lab.points` by Altair."""
    kept, left_out = _drawable(rows, x, y, log_x, log_y)
    encode: dict[str, Any] = {
        "x": alt.X(_name(x), type="quantitative", title=x, scale=_scale(log_x)),
        "y": alt.Y(_name(y), type="quantitative", title=y, scale=_scale(log_y), axis=_axis(log_y)),
    }
    if by is not None:
        encode |= _told_apart(by, list(dict.fromkeys(row[by] for row in rows)), marks=True, dashes=False)
    tip = _tips(rows, by, x, y)
    mark = alt.Chart(_data(kept)).mark_point(filled=True, size=50)
    return _finish(mark.encode(**encode, tooltip=tip), says, height, left_out)


def bars(rows: Rows, x: str, y: str, *, by: str | None = None, says: str, height: int = 260) -> alt.Chart:
    """`lab.bars` by Altair."""
    order = list(dict.fromkeys(row[x] for row in rows))
    encode: dict[str, Any] = {
        "x": alt.X(_name(x), type="nominal", title=x, sort=order, axis=alt.Axis(labelAngle=0, labelLimit=90)),
        "y": alt.Y(_name(y), type="quantitative", title=y),
    }
    if by is not None:
        names = list(dict.fromkeys(row[by] for row in rows))
        encode["xOffset"] = alt.XOffset(_name(by), type="nominal", sort=names)
        encode["color"] = alt.Color(
            _name(by),
            type="nominal",
            title=by,
            scale=alt.Scale(domain=names, range=list(COLOURS[: len(names)])),
            legend=alt.Legend(orient="bottom"),
        )
    tip = _tips(rows, x, by, y)
    kept, left_out = _drawable(rows, y, y, False, False)
    mark = alt.Chart(_data(kept)).mark_bar(color=COLOURS[0])
    return _finish(mark.encode(**encode, tooltip=tip), says, height, left_out)


def strip(rows: Rows, x: str, y: str, *, says: str, more: Sequence[str], height: int = 60) -> alt.Chart:
    """The layers of a network, as bars: a picture cannot be hovered."""
    return bars(rows, x, y, says=says, height=3 * height)


def heat(rows: Rows, x: str, y: str, value: str, *, says: str, log: bool = False, height: int = 260) -> alt.Chart:
    """`lab.heat` by Altair."""
    kept, left_out = _drawable(rows, value, value, log, False)
    encode: dict[str, Any] = {
        "x": alt.X(_name(x), type="ordinal", title=x, sort=list(dict.fromkeys(row[x] for row in rows))),
        "y": alt.Y(_name(y), type="ordinal", title=y, sort=list(dict.fromkeys(row[y] for row in rows))),
        "color": alt.Color(
            _name(value),
            type="quantitative",
            title=value,
            scale=alt.Scale(scheme="viridis", type="log" if log else "linear"),
        ),
    }
    tip = _tips(rows, x, y, value)
    return _finish(alt.Chart(_data(kept)).mark_rect().encode(**encode, tooltip=tip), says, height, left_out)


def _name(key: str) -> str:
    """A key as Vega-Lite's field: dots and brackets would be read as paths."""
    return "".join("\\" + c if c in ".[]\\'\":" else c for c in key)


def _data(rows: list[dict[str, Any]]) -> Any:
    made: Any = alt.Data  # untyped in Altair
    return made(values=rows)


def _tips(rows: Rows, *keys: str | None) -> list[alt.Tooltip]:
    def kind(key: str) -> Any:
        return "quantitative" if rows and isinstance(rows[0][key], int | float) else "nominal"

    return [alt.Tooltip(_name(key), type=kind(key), title=key) for key in keys if key]


def _scale(log: bool) -> alt.Scale:
    return alt.Scale(type="log") if log else alt.Scale(zero=False, nice=True)


def _axis(log: bool) -> alt.Axis:
    return alt.Axis(format=".0e", tickCount=6) if log else alt.Axis()


def _told_apart(by: str, names: list[Any], marks: bool, dashes: bool = True) -> dict[str, Any]:
    n = len(names)
    field: Any = _name(by)
    kind: Any = "nominal"
    legend = alt.Legend(orient="bottom", symbolStrokeWidth=2, labelLimit=400)
    told: dict[str, Any] = {
        "color": alt.Color(
            field, type=kind, title=by, legend=legend, scale=alt.Scale(domain=names, range=list(COLOURS[:n]))
        )
    }
    if dashes:
        scale = alt.Scale(domain=names, range=[list(dash) for dash in DASHES[:n]])
        told["strokeDash"] = alt.StrokeDash(field, type=kind, title=by, legend=legend, scale=scale)
    if marks:
        scale = alt.Scale(domain=names, range=list(SHAPES[:n]))
        told["shape"] = alt.Shape(field, type=kind, title=by, legend=legend, scale=scale)
    return told


def _drawable(rows: Rows, x: str, y: str, log_x: bool, log_y: bool) -> tuple[list[dict[str, Any]], int]:
    def fits(value: Any, log: bool) -> bool:
        return not isinstance(value, int | float) or (isfinite(value) and (value > 0 or not log))

    kept = [dict(row) for row in rows if fits(row[x], log_x) and fits(row[y], log_y)]
    return kept, len(rows) - len(kept)


def _finish(chart: alt.Chart, says: str, height: int, left_out: int) -> alt.Chart:
    under = f"{left_out} values of 0 or not finite are not drawn" if left_out else ""
    made: alt.Chart = chart.properties(
        width="container",
        height=height,
        description=says + (f" ({under})" if under else ""),
        title=alt.TitleParams(says, subtitle=under, anchor="start", fontSize=13, limit=640),
        background="transparent",
        usermeta={"embedOptions": {"actions": False, "renderer": "svg"}},
    )
    return made
