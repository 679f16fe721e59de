"""Fix: a broken network, judged by `gs.check`, by what the lesson demands, and by a hundred steps of training."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import inf
from typing import Any

import marimo as mo
import torch

from gainstage.check import Report
from gainstage.lab import _progress
from gainstage.lab._blocks import Block, code, note, prose, show, stack
from gainstage.lab._errors import LabError
from gainstage.lab._figures import lines
from gainstage.lab._judge import STEPS, Demands, Judgement, Train, Trained, judge
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
        demands: what the lesson demands of the network besides, measured on it.
        train: a hundred steps of training and what became of them; by the learner's own eyes beside the check.
    """

    def __init__(
        self,
        lesson: Lesson,
        task: str,
        build: Callable[..., Subject],
        choices: Mapping[str, Sequence[str] | Code],
        labels: Mapping[str, str] | None = None,
        *,
        demands: Demands | None = None,
        train: Train | None = None,
    ) -> None:
        self.lesson, self.task, self.build = lesson, task, build
        self.choices, self.labels = dict(choices), dict(labels or {})
        self.demands, self.train = demands, train
        self._pressed: str | None = None  # the choices of a press whose answer was not shown yet
        self._held: tuple[Any, ...] = ()  # marimo holds widgets weakly

    @property
    def broken(self) -> dict[str, str]:
        """The choices as they stand at first."""
        return {name: str(v) if isinstance(v, Code) else v[0] for name, v in self.choices.items()}

    @property
    def passes(self) -> str:
        """What is asked of a repair, in a sentence."""
        demanded = ", if what this lesson demands of it holds" if self.demands else ""
        trained = f", and if it learns in {STEPS} steps of training" if self.train else ""
        return f"It passes if `gs.check` finds nothing above a note{demanded}{trained}."

    def grade(self, **choices: str) -> Judgement | LabError:
        """The judgement of these choices, the others as they stand at first.

        An exception of code that was edited is an answer too, and is returned as a `LabError`.
        """
        unknown = set(choices) - set(self.choices)
        if unknown:
            raise LabError(f"there is no choice {', '.join(sorted(unknown))}; there are {', '.join(self.choices)}")
        try:
            return judge(self.build(**(self.broken | choices)), self.demands, self.train)
        except Exception as error:
            return LabError(f"{type(error).__name__}: {error}")

    def ask(self, grade: Any) -> Block:
        """The task with its widgets and the button that checks.

        Args:
            grade: the setter of `graded, grade = mo.state(None, allow_self_loops=True)`, in a cell of its own.
        """
        widgets = {name: self._widget(name) for name in self.choices}

        def press(_: Any) -> None:
            chosen = {name: str(widget.value) for name, widget in widgets.items()}
            self._pressed = ", ".join(f"{name}: {value}" for name, value in chosen.items())
            grade(self.grade(**chosen))

        button: Any = mo.ui.button(label="Check and train it" if self.train else "Run gs.check", on_click=press)
        self._held = (*widgets.values(), button)
        row = stack(*widgets.values(), side_by_side=not any(isinstance(v, Code) for v in self.choices.values()))
        return stack(prose(f"### Fix\n\n{self.task}\n\n{self.passes}"), row, button)

    def _widget(self, name: str) -> Any:
        options, label = self.choices[name], self.labels.get(name, name.replace("_", " ").capitalize())
        made: Any
        if isinstance(options, Code):
            made = mo.ui.code_editor(str(options), language="python", label=label, min_height=180)
        else:
            made = mo.ui.dropdown(list(options), value=options[0], label=label, allow_select_none=False)
        made.lab_label = label
        return made

    def result(self, graded: Judgement | LabError | None) -> Block:
        """What the check found, what the lesson demands, and how it trained: passed where all three are well.

        Args:
            graded: `graded()`.
        """
        if graded is None:
            return Block(prose("*Choose, then run the check.*").text, self._as_it_stands)
        right = isinstance(graded, Judgement) and graded.ok
        if self._pressed is not None:
            _progress.answered(self.lesson.key, "fix", self._pressed, right=right)
            self._pressed = None
        if isinstance(graded, LabError):
            return note("wrong", prose(f"The network does not run.\n\n```text\n{graded}\n```"))
        return note("right" if right else "wrong", judged(graded))

    def _as_it_stands(self) -> str:
        graded = self.grade()
        said = f"<p>{escape(str(graded))}</p>" if isinstance(graded, LabError) else judged(graded).static
        return f"<details><summary>How it does as it stands</summary>{said}</details>"


def judged(judgement: Judgement) -> Block:
    """A judgement to look at: findings, demands, and the cost while it trained."""
    report = judgement.report
    said = f"<p>gs.check: {report.count('error')} errors, {report.count('warning')} warnings</p>{_findings(report)}"
    rows = "".join(
        f'<li data-demand="{"met" if d.met else "missed"}">{"✓" if d.met else "✗"} {escape(d.says)}: '
        f"{show(float(d.measured))}, expected {escape(_range(d.least, d.most))}</li>"
        for d in judgement.demands
    )
    found = Block(said + (f"<p>This lesson demands:</p><ul>{rows}</ul>" if rows else ""), "")
    found = Block(found.text, found.text)
    if judgement.trained is None:
        return found
    return stack(found, _training(judgement.trained))


def _training(trained: Trained) -> Block:
    ended = len(trained.losses)
    early = f", where the loss was no finite number any more (after {ended} steps)" if ended < trained.steps else ""
    mark = "✓" if trained.learned else "✗"
    told = (
        f'<p data-trained="{"yes" if trained.learned else "no"}">{mark} After {trained.steps} steps of training, '
        f"{escape(trained.says)}: {show(trained.score)}, expected at least {show(trained.needed)}{early}.</p>"
    )
    rows = [{"step": i, "cost": loss, "what": "this network"} for i, loss in enumerate(trained.losses)]
    rows += [{"step": i, "cost": trained.guess, "what": "guessing"} for i in (0, trained.steps - 1)]
    shown = lines(rows, "step", "cost", by="what", says="The cost while it trained", points=False, height=160)
    return stack(Block(told, told), shown)


def _range(least: float, most: float) -> str:
    if least == -inf:
        return f"at most {show(float(most))}"
    return f"at least {show(float(least))}" if most == inf else f"{show(float(least))} to {show(float(most))}"


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
