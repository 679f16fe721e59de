"""The page of a lesson: one HTML file that can be read before its script runs and before anything is computed."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from json import dumps
from typing import Any

from gainstage.lab._lessons import Lesson, lessons
from gainstage.lab._pages import style
from gainstage.lab.course.running import Run
from gainstage.lab.course.showing import first, gated_by, later


def page(run: Run, kept: Mapping[int, str], *, answered: bool = False) -> str:
    """The live page, with the parts that were computed already.

    Args:
        run: of the lesson.
        kept: the HTML of these parts, by index.
        answered: whether its prediction was committed to before: nothing is held back then.
    """
    return rendered(run, kept, states=None, gates={} if answered else gated_by(run.document))


def rendered(run: Run, known: Mapping[int, str], *, states: Any, gates: Mapping[int, int]) -> str:
    """The page of a lesson.

    Args:
        run: of the lesson.
        known: the HTML of the parts that were computed, by index.
        states: of a page without a server: what its measurements show, by the value of a control; None for a live one.
        gates: which part waits for which prediction.
    """
    parts = [
        {
            "index": index,
            "kind": part.kind,
            "html": known.get(index) or first(part),
            "waits": index not in known and later(part),
            "gate": gates.get(index),
        }
        for index, part in enumerate(run.document.parts)
    ]
    before, after = _neighbours(run.lesson)
    made: str = _template().render(
        lesson=run.lesson,
        parts=parts,
        before=before,
        after=after,
        style=style() + _file("course.css"),
        script="".join(map(_file, ("figure.js", "strip.js", "course.js"))),
        states=None
        if states is None
        else dumps(states, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
    )
    return made


def _neighbours(lesson: Lesson) -> tuple[Lesson | None, Lesson | None]:
    known = lessons()
    before = [other for other in known if other.number < lesson.number]
    after = [other for other in known if other.number > lesson.number]
    return (before[-1] if before else None), (after[0] if after else None)


@cache
def _file(name: str) -> str:
    return files("gainstage.lab.course").joinpath(name).read_text(encoding="utf-8")


@cache
def _template() -> Any:
    import jinja2

    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("course.html"))
