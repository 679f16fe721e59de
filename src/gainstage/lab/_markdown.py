"""Markdown with formulas as HTML that needs no script: formulas become MathML, which browsers set themselves."""

import re
from functools import cache
from html import escape
from typing import Any

_FENCE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$", re.DOTALL)


def to_html(source: str) -> str:
    r"""Markdown as HTML, with `$...$` and `$$...$$` as MathML and everything else escaped.

    Args:
        source: CommonMark with tables; HTML in it is shown, not obeyed.

    Example:
        >>> to_html("a *b*")
        '<p>a <em>b</em></p>\n'
    """
    formulas: list[str] = []

    def put_aside(found: re.Match[str]) -> str:
        display = found[1] is not None
        formulas.append(_mathml((found[1] or found[2]).strip(), display))
        return f"\ue000{len(formulas) - 1}\ue001"

    parts = _FENCE.split(source)
    text = "".join(part if i % 2 else _FORMULA.sub(put_aside, part) for i, part in enumerate(parts))
    page: str = _renderer().render(text)
    return re.sub("\ue000(\\d+)\ue001", lambda found: formulas[int(found[1])], page)


@cache
def _renderer() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable("table")


@cache
def _mathml(formula: str, display: bool) -> str:
    from latex2mathml.converter import convert

    try:
        made = convert(formula, display="block" if display else "inline")
    except Exception:  # a formula that the converter does not know is still worth reading
        return f"<code>{escape(formula)}</code>"
    return made.replace("<math ", f'<math aria-label="{escape(formula)}" ', 1)
