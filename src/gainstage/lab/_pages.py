"""The home page and the frame of exported pages: plain HTML without script, light and dark."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from gainstage.lab._lessons import Lesson


def home_page(lessons: Sequence[Lesson], done: Mapping[str, set[str]], *, exported: bool = False) -> str:
    """The list of lessons, with what was done of each.

    Args:
        lessons: in order.
        done: exercises done, by key.
        exported: for a page that opens from disk: links to the pages beside it, no progress.
    """
    page: str = _template("home.html").render(lessons=lessons, done=done, exported=exported, style=style())
    return page


def lesson_page(lesson: Lesson, cells: Sequence[Mapping[str, Any]], lessons: Sequence[Lesson]) -> str:
    """One exported lesson: what its cells show, and the code behind it.

    Args:
        lesson: which.
        cells: each with `shown`, HTML that is safe, and `code`.
        lessons: all, for the links.
    """
    place = list(lessons).index(lesson)
    page: str = _template("page.html").render(
        lesson=lesson,
        cells=cells,
        before=lessons[place - 1] if place else None,
        after=lessons[place + 1] if place + 1 < len(lessons) else None,
        style=style(),
    )
    return page


@cache
def style() -> str:
    """The style sheet that live lessons, home page and exported pages share."""
    return files("gainstage.lab").joinpath("lab.css").read_text(encoding="utf-8")


@cache
def _template(name: str) -> Any:
    import jinja2

    text = files("gainstage.lab").joinpath(name).read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
