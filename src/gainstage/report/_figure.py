"""Charts as SVG that goes into a page, in the page's own colours; and the signal chart, the drawing of `Tape.plot`."""

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from io import StringIO
from math import isfinite
from typing import TYPE_CHECKING, Any

from gainstage._visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from gainstage.signal import Row

_INK = "#010203"  # stands for the page's text colour
_STYLE: dict[Any, Any] = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "legend.facecolor", "legend.edgecolor"), "none"),
    "grid.color": _INK,
    "svg.fonttype": "none",  # text stays text: selectable, and in the page's font
    "svg.hashsalt": "gainstage",  # the same chart is the same text
    "font.size": 9.0,
}


def figure(table: "Sequence[Row]", *, title: str) -> str:
    """The chart as an `<svg>` element with title and description; its colours are CSS variables of the page.

    Args:
        table: what `signal.rows` gives, shortened by `thinned` where it is long.
        title: the accessible name.

    Returns:
        Markup that is safe to embed: every name in it is escaped.
    """
    from gainstage.signal import COLOURS, draw

    def onto(axes: "Axes") -> None:
        draw(table, axes)
        if legend := axes.get_legend():
            legend.remove()
            short = max(len(text.get_text()) for text in legend.get_texts()) < 30
            axes.legend(ncols=3 if short else 2, loc="lower left", bbox_to_anchor=(0, 1), frameon=False)

    colours = {colour: f"var(--{side})" for side, colour in COLOURS.items()}
    return svg(onto, (7.6, 3.8), name="chart", title=title, description=described(table), colours=colours)


def svg(
    draw: "Callable[[Axes], object]",
    size: tuple[float, float],
    *,
    name: str,
    title: str,
    description: str,
    colours: Mapping[str, str],
) -> str:
    """Any drawing as an `<svg>` element with title and description.

    Args:
        draw: draws onto matplotlib axes.
        size: width and height in inches.
        name: of the figure on its page, where no other has it: its title is `NAME-title`.
        title: the accessible name.
        description: what is to be seen, for those who do not see it.
        colours: a CSS value for each colour of the drawing that follows the page; text and axes always do.

    Returns:
        Markup that is safe to embed: every name in it is escaped.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        drawn = Figure(figsize=size, layout="constrained")
        axes = drawn.add_subplot()
        draw(axes)
        axes.spines[["top", "right"]].set_visible(False)
        buffer = StringIO()
        drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    markup = buffer.getvalue()
    markup = re.sub(r"<metadata>.*?</metadata>", "", markup[markup.index("<svg") :], flags=re.DOTALL)
    for colour, value in {**colours, _INK: "currentColor"}.items():
        markup = markup.replace(colour, value)
    head = f'<title id="{name}-title">{escape(visible(title))}</title>'
    head += f'<desc id="{name}-desc">{escape(visible(description))}</desc>'
    opening = f'<svg role="img" aria-labelledby="{name}-title {name}-desc"'
    return re.sub(r"<svg([^>]*)>", lambda found: f"{opening}{found[1]}>{head}", markup, count=1)


def described(table: "Sequence[Row]") -> str:
    """The chart in a few sentences: root mean squares at both ends.

    >>> from gainstage.signal import Row
    >>> described([Row(0, "a", 1.0, 0.9, None, 1.0), Row(1, "b", 0.5, 0.0, None, 0.7)])
    'Forward: 1 at a, 0.5 at b; predicted 1 and 0.7. Between samples: 0.9 at a, 0 at b; zero or not finite at 1 sites.'
    """
    parts = []
    for side, label in (("forward", "Forward"), ("between", "Between samples"), ("backward", "Gradient")):
        shown = [row for row in table if getattr(row, side) is not None]
        if not shown:
            continue
        first, last = shown[0], shown[-1]
        said = f"{label}: {getattr(first, side):.2g} at {first.site}, {getattr(last, side):.2g} at {last.site}"
        ends = [value for row in (first, last) if (value := getattr(row, f"predicted_{side}", None)) is not None]
        if len(ends) == 2:
            said += f"; predicted {ends[0]:.2g} and {ends[1]:.2g}"
        hidden = sum(not (isfinite(value) and value > 0) for row in shown for value in (getattr(row, side),))
        parts.append(said + (f"; zero or not finite at {hidden} sites" if hidden else "") + ".")
    return " ".join(parts) or "Nothing was measured."


def thinned(table: "Sequence[Row]", most: int) -> "list[Row]":
    """At most `most` rows (of more than two): of every stretch, those where the signal is smallest and largest."""
    if len(table) <= most:
        return list(table)
    bins = most // 2 - 1
    kept = {0, len(table) - 1}
    for number in range(bins):
        stretch = range(number * len(table) // bins, (number + 1) * len(table) // bins)
        ordered = sorted(stretch, key=lambda i: table[i].forward or 0.0)
        kept |= {ordered[0], ordered[-1]}
    return [table[i] for i in sorted(kept)]
