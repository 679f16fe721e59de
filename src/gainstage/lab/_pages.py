"""The home page and the frame of exported pages: plain HTML without script, light and dark."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from gainstage.lab._lessons import Lesson
from gainstage.lab._progress import Answer, Answers
from gainstage.lab.exercises import load, names, of_lesson


def home_page(lessons: Sequence[Lesson], answers: Answers, *, exported: bool = False) -> str:
    """The map of the lessons: what builds on what, how long it takes, and what was answered.

    Args:
        lessons: in order.
        answers: by key of the lesson, then by exercise.
        exported: for a page that opens from disk: links to the pages beside it, no progress.
    """
    rows = []
    for lesson in lessons:
        written = of_lesson(lesson.number)
        minutes = lesson.minutes + sum(load(name).minutes for name in written)
        marks = [_mark(what, answers.get(lesson.key, {}).get(what)) for what in ("predict", "fix", *written)]
        rows.append({"lesson": lesson, "minutes": minutes, "marks": marks})
    page: str = _template("home.html").render(rows=rows, exported=exported, style=style())
    return page


def _mark(exercise: str, answer: Answer | None) -> dict[str, Any]:
    """How one exercise stands; a wrong prediction stays wrong, whatever is answered afterwards."""
    name = "write " + load(exercise).title if exercise in names() else exercise
    if answer is None:
        return {"key": exercise, "text": f"○ {name}", "done": False}
    if exercise == "predict":
        told = "predicted right" if answer.right else "predicted otherwise"
        return {"key": exercise, "text": f"{'✓' if answer.right else '✗'} {told}", "done": answer.right}
    tries = f" ({answer.tries} tries)" if answer.tries > 1 else ""
    return {"key": exercise, "text": f"{'✓' if answer.done else '○'} {name}{tries}", "done": answer.done}


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
