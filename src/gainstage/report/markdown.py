"""A page of markdown on the terminal, in colours that read on dark and on light backgrounds."""

import sys
from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import CodeBlock, Heading, Markdown
from rich.padding import Padding
from rich.text import Text
from rich.theme import Theme

_THEME = Theme(
    {
        "markdown.code": "cyan",
        "markdown.code_block": "cyan",
        "markdown.link": "cyan",
        "markdown.link_url": "cyan",
        "markdown.item.bullet": "bold",
        "markdown.em": "italic",
    }
)


class _Code(CodeBlock):
    """Code indented in one colour: rich's own themes paint a dark or a light background."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Padding(Text(str(self.text).rstrip(), style="markdown.code_block"), (0, 0, 0, 4))


class _Heading(Heading):
    """Headings on the left, in bold."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(self.text.plain, style="bold")


class _Page(Markdown):
    elements: ClassVar = {
        **Markdown.elements,
        "fence": _Code,
        "code_block": _Code,
        "heading_open": _Heading,
    }


def print_markdown(page: str, *, width: int = 80) -> None:
    """Print a markdown page to the terminal, at most `width` columns wide."""
    console = Console(file=sys.stdout, theme=_THEME, highlight=False, emoji=False)
    console.print(_Page(page), width=min(width, console.width))
    console.print()
