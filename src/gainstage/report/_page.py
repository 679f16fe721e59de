"""Pages of text for the terminal: lines in its own named colours, wrapped to a width."""

from io import StringIO

from rich.console import Console
from rich.text import Text


class Page:
    """Lines of styled text, wrapped to a width."""

    def __init__(self, width: int, color: bool) -> None:
        self._console = Console(
            file=StringIO(),
            width=width,
            force_terminal=color,
            color_system="standard" if color else None,
            no_color=not color,
            legacy_windows=False,
            soft_wrap=True,
        )
        self._width = width

    def line(self, body: str | Text = "", *, label: str = "", indent: int = 0, style: str = "", hang: int = 0) -> None:
        """Add `body` behind `label`, from column `indent` on; what does not fit goes on below, under its beginning.

        Without a label, lines after the first begin `hang` columns further right.
        """
        content = Text(body, style="" if label else style) if isinstance(body, str) else body
        lead = Text(f"  {label}".ljust(indent), style=style) if indent else Text()
        indent = indent or hang
        for part in content.wrap(self._console, self._width - indent, overflow="fold") if content.plain else [Text()]:
            part.rstrip()
            self._console.print(Text.assemble(lead, part), highlight=False, markup=False, emoji=False)
            lead = Text(" " * indent)

    def text(self) -> str:
        """The page so far."""
        assert isinstance(self._console.file, StringIO)
        return self._console.file.getvalue()
