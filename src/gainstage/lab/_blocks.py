"""What a cell of a lesson shows: each block is marimo output in the browser and plain HTML in an export."""

import inspect
import textwrap
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import marimo as mo

from gainstage.lab._figures import Figure
from gainstage.lab._lessons import Lesson, lessons
from gainstage.lab._markdown import to_html
from gainstage.lab._numbers import show as show

Row = Mapping[str, Any]


class Block(mo.Html):
    """Something to look at: `text` for the live page, `static` for a page that opens from disk.

    Args:
        live: HTML, with marimo's elements.
        static: HTML without script; a function is called when it is wanted, and not while a slider moves.
        parts: what it shows.
    """

    def __init__(self, live: str, static: str | Callable[[], str], parts: Sequence[Any] = ()) -> None:
        super().__init__(live)
        self._static = static
        self.parts = tuple(parts)  # marimo holds its widgets weakly: who shows one keeps it alive

    @property
    def static(self) -> str:
        """HTML for an export."""
        return self._static if isinstance(self._static, str) else self._static()

    def _repr_html_(self) -> str:
        return self.static


class Prose(Block):
    """Markdown; formulas between dollar signs.

    Attributes:
        source: the Markdown, without the indentation of the code around it.
    """

    def __init__(self, source: str) -> None:
        self.source = inspect.cleandoc(source)
        super().__init__(mo.md(self.source).text, lambda: to_html(self.source))


def prose(source: str) -> Prose:
    r"""Text of a lesson.

    Args:
        source: Markdown, with `$...$` for formulas; a number in it is formatted from a computed value.

    Example:
        >>> print(prose("Level $q$ is **kept**.").static.strip()[-26:])
        <strong>kept</strong>.</p>
    """
    return Prose(source)


def source(function: Callable[..., Any]) -> str:
    """The source of a function of the lesson, without its decorator.

    Example:
        >>> print(source(lesson_nav).splitlines()[0])
        def lesson_nav(lesson: Lesson) -> str:
    """
    lines = textwrap.dedent(inspect.getsource(function)).strip().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(("def ", "class ", "async def ")))
    return "\n".join(lines[start:])


def code(*functions: Callable[..., Any] | str) -> Prose:
    """Code to read: functions of the lesson, shown with their source, or text."""
    shown = [part if isinstance(part, str) else source(part) for part in functions]
    return Prose("```python\n" + "\n\n\n".join(part.strip("\n") for part in shown) + "\n```")


def table(rows: Sequence[Row], caption: str) -> Block:
    """Rows as a table; the first column heads its row.

    Args:
        rows: dictionaries with the same keys, the keys being the titles; numbers have three digits.
        caption: what the table says, also its accessible name.

    Example:
        >>> "1.23" in table([{"law": "he", "level": 1.23456}], "levels").text
        True
    """
    titles = list(rows[0]) if rows else []
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(show(row[title]))}</th>' if i == 0 else f"<td>{escape(show(row[title]))}</td>"
            for i, title in enumerate(titles)
        )
        + "</tr>"
        for row in rows
    )
    made = (
        f'<div class="lab-table" role="region" aria-label="{escape(caption)}" tabindex="0"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return Block(made, made)


def readout(**values: Any) -> Block:
    """Numbers that follow the sliders, large; a reader of the screen is told when they change.

    Args:
        values: number or text by name; underscores in a name are shown as spaces.

    Example:
        >>> 'data-readout="last_level"' in readout(last_level=0.5).text
        True
    """
    items = "".join(
        f"<div><dt>{escape(name.replace('_', ' '))}</dt>"
        f'<dd data-readout="{escape(name)}">{escape(show(value))}</dd></div>'
        for name, value in values.items()
    )
    made = f'<div role="status"><dl class="lab-readout">{items}</dl></div>'
    return Block(made, made)


def note(kind: str, body: Any) -> Block:
    """A framed note; `kind` is `"right"`, `"wrong"` or `"info"`, said by a word and a mark and not by colour alone."""
    mark = {"right": "✓ Right.", "wrong": "✗ Not so.", "info": ""}[kind]
    lead = f"<strong>{mark}</strong>" if mark else ""
    open_, close = f'<div class="lab-note lab-{kind}" role="status">{lead}', "</div>"
    return Block(open_ + _live(body) + close, lambda: open_ + static(body) + close, [body])


def stack(*parts: Any, side_by_side: bool = False) -> Block:
    """Blocks, charts and widgets below each other, or beside each other where the page is wide enough."""
    kind = "lab-row" if side_by_side else "lab-column"
    live = "".join(f"<div>{_live(part)}</div>" for part in parts)

    def still() -> str:
        return f'<div class="{kind}">' + "".join(f"<div>{static(part)}</div>" for part in parts) + "</div>"

    return Block(f'<div class="{kind}">{live}</div>', still, parts)


def title(lesson: Lesson) -> Block:
    """The head of a lesson: number, title, requirement, and the way to the others."""
    made = (
        f'<header class="lab-head">{{}}<h1>{lesson.number}. {escape(lesson.title)}</h1>'
        f'<p class="lab-requirement"><strong>Required:</strong> {escape(lesson.requirement)}</p></header>'
    )
    return Block(made.format(lesson_nav(lesson)), made.format(""))


def lesson_nav(lesson: Lesson) -> str:
    """Links to the home page and to the lessons before and after."""
    known = lessons()
    before = [other for other in known if other.number < lesson.number][-1:]
    after = [other for other in known if other.number > lesson.number][:1]
    links = ['<a href="../../">All lessons</a>']
    links += [f'<a href="../{other.key}/">← {escape(other.title)}</a>' for other in before]
    links += [f'<a href="../{other.key}/">{escape(other.title)} →</a>' for other in after]
    return f'<nav aria-label="Lessons">{" ".join(links)}</nav>'


def _live(part: Any) -> str:
    return mo.as_html(part).text


def static(part: Any) -> str:
    """HTML without script of anything that a cell shows."""
    if part is None:
        return ""
    if isinstance(part, Block):
        return part.static
    if isinstance(part, Figure):
        return part.svg()
    if isinstance(part, mo.ui.dictionary | mo.ui.array):
        return "".join(static(element) for element in part.elements)
    if isinstance(part, mo.ui.button):
        return ""
    label = getattr(part, "lab_label", None)
    if label == "":  # of no use on paper
        return ""
    if label is not None and part.value is None:  # not answered yet: what there is to choose from
        options = "".join(f"<li>{escape(str(option))}</li>" for option in getattr(part, "options", ()))
        return f'<p class="lab-set">{escape(label)}:</p><ul>{options}</ul>'
    if label is not None:
        return f'<p class="lab-set">{escape(label)}: <strong>{escape(show(part.value))}</strong></p>'
    return to_html(str(part))
