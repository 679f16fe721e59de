"""Fix: a broken network, graded by `gs.check` and told by the same rule codes as `gainstage check`."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import marimo as mo
import torch

from gainstage.check import Report, check
from gainstage.lab import _progress
from gainstage.lab._blocks import Block, code, note, prose, stack
from gainstage.lab._errors import LabError
from gainstage.lab._lessons import Lesson
from gainstage.run import Subject

SEVERITY = {"error": "error: training will fail", "warning": "warning: training is harmed", "note": "note"}


class Code(str):
    """Text of a `Fix` that is edited as Python: it defines `build()`, which returns a model or a `gs.Subject`."""


class Fix:
    """A broken network and what may be changed about it.

    Args:
        lesson: whose exercise it is.
        task: Markdown: what is broken, and what counts.
        build: called with the choices by name; returns a `gs.Subject`.
        choices: by name: a sequence of options, the first of which is the broken one, or a `Code` to edit.
        labels: what a choice is called on the page, where not its name.
    """

    def __init__(
        self,
        lesson: Lesson,
        task: str,
        build: Callable[..., Subject],
        choices: Mapping[str, Sequence[str] | Code],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.lesson, self.task, self.build = lesson, task, build
        self.choices, self.labels = dict(choices), dict(labels or {})
        self._held: tuple[Any, ...] = ()  # marimo holds widgets weakly

    @property
    def broken(self) -> dict[str, str]:
        """The choices as they stand at first."""
        return {name: str(v) if isinstance(v, Code) else v[0] for name, v in self.choices.items()}

    def grade(self, **choices: str) -> Report | LabError:
        """The report of `gs.check` for these choices, the others as they stand at first.

        An exception of code that was edited is an answer too, and is returned as a `LabError`.
        """
        unknown = set(choices) - set(self.choices)
        if unknown:
            raise LabError(f"there is no choice {', '.join(sorted(unknown))}; there are {', '.join(self.choices)}")
        try:
            subject = self.build(**(self.broken | choices))
            return check(
                subject.model, subject.example, target=subject.target, loss=subject.loss, optimizer=subject.optimizer
            )
        except Exception as error:
            return LabError(f"{type(error).__name__}: {error}")

    def ask(self, grade: Any) -> Block:
        """The task with its widgets and the button that checks.

        Args:
            grade: the setter of `graded, grade = mo.state(None, allow_self_loops=True)`, in a cell of its own.
        """
        widgets = {name: self._widget(name) for name in self.choices}

        def press(_: Any) -> None:
            grade(self.grade(**{name: widget.value for name, widget in widgets.items()}))

        button: Any = mo.ui.button(label="Run gs.check", on_click=press)
        self._held = (*widgets.values(), button)
        row = stack(*widgets.values(), side_by_side=not any(isinstance(v, Code) for v in self.choices.values()))
        return stack(prose(f"### Fix\n\n{self.task}"), row, button)

    def _widget(self, name: str) -> Any:
        options, label = self.choices[name], self.labels.get(name, name.replace("_", " ").capitalize())
        made: Any
        if isinstance(options, Code):
            made = mo.ui.code_editor(str(options), language="python", label=label, min_height=180)
        else:
            made = mo.ui.dropdown(list(options), value=options[0], label=label, allow_select_none=False)
        made.lab_label = label
        return made

    def result(self, graded: Report | LabError | None) -> Block:
        """What `gs.check` found: passed where its report is ok.

        Args:
            graded: `graded()`.
        """
        if graded is None:
            return Block(prose("*Choose, then run the check.*").text, self._as_it_stands)
        if isinstance(graded, LabError):
            return note("wrong", prose(f"The network does not run.\n\n```text\n{graded}\n```"))
        if graded.ok:
            _progress.mark(self.lesson.key, "fix")
        said = f"gs.check: {graded.count('error')} errors, {graded.count('warning')} warnings"
        found = _findings(graded)
        return note("right" if graded.ok else "wrong", Block(f"<p>{said}</p>{found}", f"<p>{said}</p>{found}"))

    def _as_it_stands(self) -> str:
        report = self.grade()
        said = f"<p>{escape(str(report))}</p>" if isinstance(report, LabError) else _findings(report)
        return f"<details><summary>What gs.check says of it as it stands</summary>{said}</details>"


def compiled(text: str, name: str = "build") -> Callable[[], Any]:
    """The function `name` that a learner's code defines; torch, nn and gs are there without an import.

    The code runs with the rights of whoever started the lab, as in any notebook: it is theirs.

    Raises:
        LabError: it defines no such function.
    """
    import gainstage as gs

    scope: dict[str, Any] = {"torch": torch, "nn": torch.nn, "gs": gs}
    exec(compile(text, "<your code>", "exec"), scope)
    if not callable(scope.get(name)):
        raise LabError(f"the code defines no function {name}(). Write: def {name}(): ... return model")
    found: Callable[[], Any] = scope[name]
    return found


def findings(report: Report) -> Block:
    """The findings of a report as a list: code, place, measured, expected, fix."""
    made = _findings(report)
    return Block(made, made)


def _findings(report: Report) -> str:
    items = "".join(
        f'<li data-code="{escape(f.code)}"><strong>{escape(f.code)} {escape(f.name)}</strong> '
        f"({escape(SEVERITY[f.severity])}) at <code>{escape(f.where)}</code>: {escape(f.measured)}, "
        f"expected {escape(f.expected)}.<br>{escape(f.message)}<br><em>{escape(str(f.fix))}</em></li>"
        for f in report.findings[:5]
    )
    more = f"<p>and {len(report.findings) - 5} more</p>" if len(report.findings) > 5 else ""
    return f'<ul class="lab-findings">{items}</ul>{more}' if items else "<p>Nothing found.</p>"


def take_home(lesson: Lesson, text: str) -> Block:
    """The lines to carry into one's own code, and this lesson as a Jupyter notebook.

    Args:
        lesson: whose notebook.
        text: three lines that run as they stand.
    """
    head, lines = prose("### Take it home"), code(text)
    link = (
        f'<p><a href="../../notebooks/{lesson.key}.ipynb" download>Download this lesson as a Jupyter notebook</a></p>'
    )
    still = f'<p><a href="{lesson.key}.ipynb">This lesson as a Jupyter notebook</a></p>'
    made = Block(head.text + lines.text + link, lambda: head.static + lines.static + still)
    made.code = text  # type: ignore[attr-defined]
    return made


def questions(answers: Mapping[str, str]) -> Block:
    """Questions, each with a model answer that opens below it.

    Args:
        answers: Markdown by question.
    """
    parts = [(escape(q), prose(a)) for q, a in answers.items()]

    def folded(bodies: Sequence[tuple[str, str]]) -> str:
        return "".join(f"<details><summary>{q}</summary>{body}</details>" for q, body in bodies)

    head = prose("### Questions")
    live = head.text + folded([(q, a.text) for q, a in parts])
    return Block(live, lambda: head.static + folded([(q, a.static) for q, a in parts]))
