"""Tables as text: columns as wide as what stands in them."""

import re
from collections.abc import Collection, Iterable, Sequence
from textwrap import TextWrapper

from rich.box import Box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gainstage._visible import visible

_UNDERLINED = Box("\n".join(["    ", "    ", " -- ", *["    "] * 5]), ascii=True)


def columns(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[int] = (), width: int | None = None
) -> str:
    r"""Rows below their heads; nothing is cut.

    Args:
        heads: of the columns.
        rows: a cell for each column; characters that do not print are shown as their escapes.
        numbers: the columns, counted from 0, that stand on the right of their place.
        width: what does not fit into so many characters goes on below, in its own column. Without it, a row is a line.

    Example:
        >>> print(columns(("layer", "level"), [("body.fc1", "1.5"), ("body.fc2", "12")], numbers=[1], width=12))
        layer  level
        ------------
        body.    1.5
        fc1
        body.     12
        fc2
    """
    table = Table(box=_UNDERLINED, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place in numbers else "left", no_wrap=width is None)
    for row in rows:
        table.add_row(*map(_Cell, row))
    console = Console(width=width or 10**6, color_system=None, legacy_windows=False)
    with console.capture() as page:
        console.print(table)
    return "\n".join(line.rstrip() for line in page.get().splitlines())


class _Wrapper(TextWrapper):
    """Goes on below after a space or a part of a dotted name."""

    wordsep_re = re.compile(r"(?<=[ ._])")


class _Cell:
    def __init__(self, text: str) -> None:
        self.text = visible(text)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(1, max(Text(self.text).cell_len, 1))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("\n".join(_Wrapper(options.max_width).wrap(self.text)), overflow="fold")
