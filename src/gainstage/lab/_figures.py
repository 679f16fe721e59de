"""Figures from rows: drawn by the page itself, by Altair in marimo, and as a picture without a browser."""

from collections.abc import Mapping, Sequence
from html import escape
from json import dumps
from math import isfinite
from typing import Any

Rows = Sequence[Mapping[str, Any]]


class Figure:
    """What is drawn, as data.

    Args:
        kind: `"lines"`, `"points"`, `"bars"` or `"heat"`.
        rows: one mark each: dictionaries of plain numbers and strings.
        says: what it shows: its title and its text alternative.
        axes: `x`, `y` and, of a heat map, `value`: keys of the rows, which title the axes.
        options: the others of the function that makes it.
    """

    def __init__(self, kind: str, rows: Rows, says: str, axes: Mapping[str, str], **options: Any) -> None:
        self.kind, self.rows, self.says, self.axes, self.options = kind, list(rows), says, dict(axes), options

    @property
    def slot(self) -> str:
        """A later figure of the same title takes the place of this one."""
        return self.says

    def spec(self) -> dict[str, Any]:
        """The figure for the page: a list a column, numbers rounded to four digits, null where there is none."""
        by = [self.options["by"]] if self.options.get("by") else []
        keys = [*self.axes.values(), *by, *self.options.get("more", ())]
        columns = {key: [_plain(row[key]) for row in self.rows] for key in keys}
        return {"kind": self.kind, "says": self.says, **self.axes, **self.options, "columns": columns}

    def html(self) -> str:
        """The element that the page's script draws into."""
        data = escape(dumps(self.spec(), separators=(",", ":"), ensure_ascii=False))
        return f'<figure class="lab-figure" data-figure="{data}"></figure>'

    def chart(self) -> Any:
        """The figure as an Altair chart."""
        from gainstage.lab import _charts

        return getattr(_charts, self.kind)(self.rows, **self.axes, says=self.says, **self.options)

    def svg(self, width: int = 640) -> str:
        """The figure as an SVG picture with its text alternative, drawn without a browser."""
        import vl_convert

        spec = self.chart().to_dict()
        picture: str = vl_convert.vegalite_to_svg({**spec, "width": width})
        return f'<figure role="img" aria-label="{escape(str(spec["description"]))}">{picture}</figure>'

    def _display_(self) -> Any:  # of marimo
        return self.chart()

    def _repr_html_(self) -> str:  # of Jupyter
        return self.svg()


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
) -> Figure:
    """Lines through rows, one a value of `by`, told apart by colour, dash and mark.

    Values that a logarithmic axis cannot show (zero, not finite) are left out, and a line under the title counts them.

    Args:
        rows: dictionaries of plain numbers and strings.
        x, y: their keys, which title the axes: put the unit there.
        by: key of the series.
        says: what the figure shows, its title and its text alternative.
        log_x, log_y: logarithmic axes.
        points: also draw the marks; leave them out beyond some hundred rows.
        height: in pixels; the width follows the page.

    Example:
        >>> lines([{"layer": 1, "level": 0.12345}], "layer", "level", says="Levels").spec()["columns"]
        {'layer': [1], 'level': [0.1235]}
    """
    return Figure("lines", rows, says, {"x": x, "y": y}, by=by, log_x=log_x, log_y=log_y, points=points, height=height)


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
) -> Figure:
    """Points, one a row; arguments as for `lines`."""
    return Figure("points", rows, says, {"x": x, "y": y}, by=by, log_x=log_x, log_y=log_y, height=height)


def bars(rows: Rows, x: str, y: str, *, by: str | None = None, says: str, height: int = 260) -> Figure:
    """Bars, one a row, in the order of the rows; with `by` the bars of one `x` stand beside each other.

    Args:
        rows: dictionaries of plain numbers and strings.
        x: key of what is counted or compared; taken as a name.
        y: key of the number.
        by: key of the series.
        says: title and text alternative.
        height: in pixels.
    """
    return Figure("bars", rows, says, {"x": x, "y": y}, by=by, height=height)


def heat(rows: Rows, x: str, y: str, value: str, *, says: str, log: bool = False, height: int = 260) -> Figure:
    """A grid of cells, darker where `value` is larger.

    Args:
        rows: one dictionary a cell.
        x, y: keys of the axes, taken in the order of the rows.
        value: key of the number.
        says: title and text alternative.
        log: a logarithmic scale of colours.
        height: in pixels.
    """
    return Figure("heat", rows, says, {"x": x, "y": y, "value": value}, log=log, height=height)


def by_layer(*, says: str, log: bool = True, of: str = "root mean square", **series: Sequence[float]) -> Figure:
    """One line a series, over the layers of a network.

    Args:
        says: title and text alternative.
        log: a logarithmic axis.
        of: what is measured, with its unit: the title of the axis.
        series: a number a layer, by name; underscores in a name are shown as spaces.

    Example:
        >>> by_layer(says="Levels", signal=[1.0, 0.5]).spec()["columns"]["layer"]
        [1, 2]
    """
    rows = [
        {"layer": i, of: value, "what": name.replace("_", " ")}
        for name, values in series.items()
        for i, value in enumerate(values, 1)
    ]
    return lines(rows, "layer", of, by="what", says=says, log_y=log)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float):
        return float(f"{value:.4g}") if isfinite(value) else None
    return value
