"""Predict: commit to an answer, then see what was measured."""

from collections.abc import Sequence
from typing import Any

import marimo as mo

from gainstage.lab import _progress
from gainstage.lab._blocks import Block, note, prose, show, stack
from gainstage.lab._errors import LabError
from gainstage.lab._lessons import Lesson

SURE = ("a guess", "rather sure", "certain")


class Predict:
    """A question about what a measurement will show.

    Args:
        lesson: whose exercise it is.
        question: Markdown.
        options: the answers to choose from.
    """

    def __init__(self, lesson: Lesson, question: str, options: Sequence[str]) -> None:
        self.lesson, self.question, self.options = lesson, question, tuple(options)
        self._said: str | None = None  # how sure, of a commit whose answer was not compared yet
        self._held: tuple[Any, ...] = ()  # marimo holds widgets weakly

    def ask(self, committed: Any, commit: Any) -> Block:
        """The question with its form; after the commit the answer, fixed, and a button to start again.

        Args:
            committed, commit: of `mo.state(None, allow_self_loops=True)`, in a cell of its own.
        """
        head = prose(f"### Predict\n\n{self.question}")
        if committed() is not None:
            again: Any = mo.ui.button(label="Ask me again", on_click=lambda _: commit(None))
            self._held = (again,)
            return stack(head, prose(f"You committed to: **{show(committed())}**"), again)
        answer, sure = self._widget(), _sureness()

        def press(_: Any) -> None:
            if answer.value is not None and committed() is None:
                self._said = str(sure.value)
                commit(answer.value)

        button: Any = mo.ui.button(label="Commit", on_click=press)
        self._held = (answer, sure, button)
        return stack(head, answer, sure, button)

    def gate(self, answer: Any, *shown: Any) -> Block:
        """What gives the answer away: shown after the first commit only; an exported page shows it.

        Args:
            answer: `committed()`.
            shown: figures and tables.
        """
        body = stack(*shown)
        if answer is not None or "predict" in _progress.answers().get(self.lesson.key, {}):
            return body
        return Block(
            prose("*This is shown when you have committed to a prediction.*").text, lambda: body.static, [body]
        )

    def _first(self, answer: Any) -> str:
        """The first answer that was ever given, where this is another one."""
        first = _progress.answers().get(self.lesson.key, {}).get("predict")
        if first is None or answer is None or first.first == str(answer):
            return ""
        return f"\n\nYour first answer, which is the one that counts, was: *{first.first}*"

    def _widget(self) -> Any:
        made: Any = mo.ui.radio(list(self.options), label="Your prediction")
        made.lab_label = "Your prediction"
        return made

    def right(self, answer: Any, truth: Any) -> bool:
        """Whether an answer is what was measured.

        Args:
            answer: what was committed.
            truth: what was measured: one of the options.

        Raises:
            LabError: the truth is none of the options, so no answer could be right.
        """
        if truth not in self.options:
            raise LabError(f"measured {truth!r}, which is none of the options {list(self.options)}")
        return bool(answer == truth)

    def reveal(self, answer: Any, truth: Any, why: Any = "") -> Block:
        """What was measured, after the commit; before it only that it waits.

        Args:
            answer: `committed()`.
            truth: what was measured, computed by the lesson.
            why: what explains it: text, a block or a chart.
        """
        waits = "*Commit to an answer to see what is measured.*"
        right = answer is not None and self.right(answer, truth)
        if answer is not None and self._said is not None:
            _progress.answered(self.lesson.key, "predict", str(answer), right=right, sure=self._said)
            self._said = None
        measured = f"Measured: **{show(truth)}**{self._first(answer)}"
        told = why if not isinstance(why, str) else prose(why)
        open_ = stack(prose(measured), told)
        shown = note("right" if right else "wrong", open_) if answer is not None else prose(waits)
        if answer is not None:
            return shown
        return Block(shown.text, lambda: f"<details><summary>What is measured</summary>{open_.static}</details>")


def _sureness() -> Any:
    made: Any = mo.ui.radio(list(SURE), value=SURE[0], label="How sure are you?", inline=True)
    made.lab_label = ""
    return made
