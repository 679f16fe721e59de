"""What an object shows in a notebook: a line, and the rest folded behind it."""

from collections.abc import Iterable, Sequence
from html import escape

from gainstage._visible import visible

_MOST, _LONGEST = 50, 20_000  # parts of one object, characters of one part


def folded(head: str, parts: Iterable[tuple[str, str]]) -> str:
    """HTML of one line and of parts that open when they are clicked.

    It sets no colour, so that it is dark where the notebook is, has no script, and escapes all that it is given.

    Args:
        head: the line that is always seen.
        parts: a line each, and the text behind it.

    Example:
        >>> folded("Net: 1 error", [("error INI101 fc.weight", "16 of 16 units are identical")])
        '<div><b>Net: 1 error</b><details><summary>error INI101 fc.weight</summary>\
<pre style="white-space: pre; overflow-x: auto">16 of 16 units are identical</pre></details></div>'
    """
    every = list(parts)
    shown = "".join(map(_part, every[:_MOST]))
    more = f"<p>and {len(every) - _MOST} more</p>" if len(every) > _MOST else ""
    return f"<div><b>{_safe(head)}</b>{shown}{more}</div>"


def _part(part: Sequence[str]) -> str:
    line, text = part
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n... ({len(text)} characters)"
    pre = f'<pre style="white-space: pre; overflow-x: auto">{_safe(text)}</pre>'
    return f"<details><summary>{_safe(line)}</summary>{pre}</details>"


def _safe(text: str) -> str:
    return escape(visible(text, keep="\n"))
