"""An exercise on a marimo page: task, editor, "Run the tests", what each test said, hints step by step, solution."""

import threading
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from gainstage.lab import _progress
from gainstage.lab._blocks import Block, code, note, prose, stack
from gainstage.lab._lessons import ALL
from gainstage.lab.exercises._format import Exercise, load
from gainstage.lab.exercises._grade import Grade, grade, prepare

TRIES = 3  # after so many the solution may be asked for


@dataclass(frozen=True)
class Attempt:
    """What the page shows below the editor.

    Attributes:
        grade: of the last try; None before it.
        tries: so far.
        hints: steps that were asked for.
        solution: whether it was asked for.
    """

    grade: Grade | None = None
    tries: int = 0
    hints: int = 0
    solution: bool = False


class Widget:
    """One exercise in a lesson, in three cells of marimo, because a cell that sets a state must not be the one that
    made it:

        attempt, tell = mo.state(None, allow_self_loops=True)
        exercise = exercises.widget("relu", mo); exercise.ask(tell)
        exercise.result(attempt())

    Args:
        exercise: which.
        mo: the module marimo.
    """

    def __init__(self, exercise: Exercise, mo: Any) -> None:
        self.exercise, self._mo = exercise, mo
        self.attempt = Attempt()
        self._held: tuple[Any, ...] = ()  # marimo holds widgets weakly

    def ask(self, tell: Any) -> Block:
        """The task, an editor with the starter, and buttons.

        Args:
            tell: the setter of the state.
        """
        task, mo = self.exercise, self._mo
        threading.Thread(target=prepare, daemon=True).start()  # while the task is read
        label = f"Your code: {task.title}"
        editor = mo.ui.code_editor(task.starter.rstrip("\n"), language="python", label=label, min_height=180)
        editor.lab_label = ""

        def run(_: Any) -> None:
            self.answer(editor.value)
            tell(self.attempt)

        def hint(_: Any) -> None:
            self.attempt = replace(self.attempt, hints=min(self.attempt.hints + 1, len(task.hints)))
            tell(self.attempt)

        def solution(_: Any) -> None:
            self.attempt = replace(self.attempt, solution=self.attempt.tries >= TRIES)
            tell(self.attempt)

        buttons = [
            mo.ui.button(label="Run the tests", on_click=run),
            mo.ui.button(label="Give me a hint", on_click=hint),
        ]
        buttons.append(mo.ui.button(label=f"Show the solution (after {TRIES} tries)", on_click=solution))
        self._held = (editor, *buttons)
        head = prose(f"### Write it: {task.title}\n\n*About {task.minutes} minutes, {_points(task.points)}.*")
        live = stack(head, prose(task.prompt), editor, stack(*buttons, side_by_side=True))
        return Block(live.text, lambda: stack(head, prose(task.prompt), code(task.starter)).static, [live])

    def answer(self, source: str) -> Grade:
        """Grade code, count the try, and remember it in the learner's progress."""
        key = next(lesson.key for lesson in ALL if lesson.number == self.exercise.lesson)
        given = answer(key, self.exercise.name, source)
        self.attempt = replace(self.attempt, grade=given, tries=self.attempt.tries + 1)
        return given

    def result(self, attempt: Attempt | None) -> Block:
        """What the tests said, hints, and the solution where it may be seen.

        Args:
            attempt: the state.
        """
        task = self.exercise
        if attempt is None:
            waits = prose("*Write your code, then run the tests.*")
            return Block(waits.text, lambda: _folded("The solution", code(task.solution)))
        parts = [] if attempt.grade is None else [graded(attempt.grade)]
        parts += [note("info", prose(f"**Hint {i}.** {hint}")) for i, hint in enumerate(task.hints[: attempt.hints], 1)]
        if (attempt.grade is not None and attempt.grade.passed) or attempt.solution:
            parts.append(stack(prose("A solution:"), code(task.solution)))
        elif attempt.tries < TRIES:
            parts.append(prose(f"*Tries: {attempt.tries} of {TRIES} before the solution can be asked for.*"))
        return stack(*parts)


def widget(name: str, mo: Any) -> Widget:
    """The exercise of this name for a marimo page.

    Args:
        name: of an exercise.
        mo: the module marimo.

    Raises:
        LabError: there is none.
    """
    return Widget(load(name), mo)


def answer(key: str, name: str, source: str) -> Grade:
    """Grade code and remember it in the learner's progress.

    Args:
        key: of the lesson.
        name: of the exercise.
        source: the code.
    """
    given = grade(name, source)
    _progress.answered(key, name, source, right=given.passed, points=given.points, of=given.of)
    return given


def graded(grade: Grade) -> Block:
    """A grade as a list: each test, and where it fails the first wrong value beside the right one."""
    head = f"<p>{escape(_points(grade.points, grade.of))}.</p>"
    if grade.error:
        head += f"<p><strong>{escape(grade.error)}</strong></p>"
    rows = "".join(
        f'<li data-test="{"passed" if line.passed else "failed"}">{"✓" if line.passed else "✗"} {escape(line.says)}'
        + (f"<br><em>{escape(line.message)}</em>" if line.message and not grade.error else "")
        + "</li>"
        for line in grade.lines
    )
    made = f'{head}<ul class="lab-tests">{rows}</ul>'
    if grade.printed:
        made += f"<p>Your code printed:</p><pre>{escape(grade.printed)}</pre>"
    return note("right" if grade.passed else "wrong", Block(made, made))


def _folded(title: str, body: Block) -> str:
    return f"<details><summary>{escape(title)}</summary>{body.static}</details>"


def _points(points: int, of: int | None = None) -> str:
    word = "point" if (of or points) == 1 else "points"
    return f"{points} {word}" if of is None else f"{points} of {of} {word}"
