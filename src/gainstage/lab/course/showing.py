"""What the parts of a lesson look like: HTML that can be read before anything is computed, and after."""

import re
from html import escape
from json import dumps
from typing import Any

from gainstage.lab._blocks import static, table
from gainstage.lab._figures import Figure
from gainstage.lab._markdown import to_html
from gainstage.lab._numbers import show
from gainstage.lab.course.controls import Control
from gainstage.lab.course.grammar import PROSE, QUESTIONS, Document, Part
from gainstage.lab.course.running import Item, Run, caption
from gainstage.lab.course.values import has_values, pending
from gainstage.lab.exercises import load

COMPUTED = {"table", "measure", "predict", "fix", "exercise"}
_WAITS = '<p class="lab-waits">computing …</p>'


def first(part: Part) -> str:
    """The part before anything is computed: prose at once, a mark where a number is to come."""
    if part.kind in (PROSE, QUESTIONS):
        return _text(part, pending(part.body))
    if part.kind in COMPUTED:
        return _WAITS
    return _still(part)


def later(part: Part) -> bool:
    """Whether the part looks different once it is computed."""
    return part.kind in COMPUTED or (part.kind in (PROSE, QUESTIONS) and has_values(part.body))


def shown(run: Run, index: int) -> str:
    """The part as it is when it and all above it were run."""
    part = run.document.parts[index]
    if part.kind in (PROSE, QUESTIONS):
        return _text(part, run.text(part.body, part.line))
    if part.kind == "table":
        body = table(run.tables[index], run.text(caption(part), part.line - 1)).static
        return body + folded("Code", part.body)
    if part.kind == "measure":
        return _measure(run, part)
    if part.kind == "predict":
        return _question(run, part, index)
    if part.kind == "fix":
        return _fix(run, part, index)
    if part.kind == "exercise":
        return "".join(_exercise(name.strip()) for name in part.argument.split(","))
    return _still(part)


def item(found: Item) -> str:
    """One thing that a measurement shows, in its slot."""
    slot, made = found
    body = made.html() if isinstance(made, Figure) else static(made)
    return f'<div data-slot="{escape(slot)}">{body}</div>'


def verdict(run: Run, part: Part, answer: str) -> str:
    """What was measured, after an answer was given."""
    from gainstage.lab._blocks import note, prose

    truth = run.truth(part)
    why = run.text(run.prediction(part)["why"], part.line)
    return note("right" if answer == truth else "wrong", prose(f"Measured: **{truth}**\n\n{why}")).static


def folded(title: str, code: str) -> str:
    """Code behind something, folded."""
    return f'<details class="lab-code"><summary>{escape(title)}</summary>{highlighted(code)}</details>'


def highlighted(code: str) -> str:
    """Python with its words told apart; long lines are wrapped, never cut."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    told: str = highlight(code.strip(), PythonLexer(), HtmlFormatter(nowrap=True))
    return f'<pre class="lab-python"><code>{told}</code></pre>'


def name_of(part: Part) -> str:
    """The name of a measurement."""
    names: list[str] = re.findall(r"^def (\w+)\(", part.body, re.MULTILINE)
    return names[-1]


def gated_by(document: Document) -> dict[int, int]:
    """Which part waits for which prediction: `{predict} before` holds back the figures and tables that follow it.

    `{predict} before levels, one_layer` holds back these measurements and tables only.
    """
    waits: dict[int, int] = {}
    for index, part in enumerate(document.parts):
        before, _, names = part.argument.partition("before")
        if part.kind != "predict" or before.strip():
            continue
        held = {name.strip() for name in names.split(",") if name.strip()}
        for later_, other in enumerate(document.parts[index + 1 :], index + 1):
            if other.kind in ("table", "measure") and (not held or held & {_called(other)}):
                waits.setdefault(later_, index)
    return waits


def _called(part: Part) -> str | None:
    from gainstage.lab.course.running import table_name

    return name_of(part) if part.kind == "measure" else table_name(part)


def _still(part: Part) -> str:
    if part.kind == "setup":
        return folded("What is set up", part.body)
    if part.kind == "code":
        return highlighted(part.body)
    if part.kind == "take-home":
        return f"<h2>Take it home</h2>{highlighted(part.body)}"
    return ""


def _text(part: Part, source: str) -> str:
    if part.kind == PROSE:
        return to_html(source)
    head, *asked = re.split(r"^### (.+)$", source, flags=re.MULTILINE)
    pairs = zip(asked[::2], asked[1::2], strict=True)
    return to_html(head) + "".join(
        f"<details><summary>{to_html(question)[3:-5]}</summary>{to_html(answer.strip())}</details>"
        for question, answer in pairs
    )


def _measure(run: Run, part: Part) -> str:
    name = name_of(part)
    known = run.controls(part)
    form = f'<form class="lab-controls" data-measure="{name}">{"".join(map(control, known))}</form>' if known else ""
    made = "".join(map(item, run.at_first(part)))
    state = '<p class="lab-status" role="status"></p>' if known else ""
    return (
        f'<div class="lab-measure{"" if known else " lab-still"}">{form}<div class="lab-beside">{state}'
        f'<div class="lab-shown" data-shown="{name}">{made}</div></div></div>{folded("Code", part.body)}'
    )


def control(made: Control, prefix: str = "") -> str:
    """A slider, a choice or a text, with its label and what it is set to."""
    name = f"{prefix}{made.name}"
    label = f'<label for="{name}">{escape(made.label)}</label>'
    if made.kind == "choice":
        options = "".join(
            f"<option{' selected' if value == made.start else ''}>{escape(value)}</option>" for value in made.values
        )
        return f'<div class="lab-control">{label}<select id="{name}" name="{made.name}">{options}</select></div>'
    if made.kind == "text":
        rows = made.start.count("\n") + 1
        return (
            f'<div class="lab-control lab-text">{label}<textarea id="{name}" name="{made.name}" rows="{rows}" '
            f'spellcheck="false">{escape(made.start)}</textarea></div>'
        )
    values = escape(dumps([[show(value), str(value)] for value in made.values], ensure_ascii=False))
    at, said = made.values.index(made.start), escape(show(made.start))
    return (
        f'<div class="lab-control">{label}<output for="{name}">{said}</output>'
        f'<input type="range" id="{name}" name="{made.name}" min="0" max="{len(made.values) - 1}" step="1" '
        f'value="{at}" data-values="{values}" aria-valuetext="{said}"></div>'
    )


def _question(run: Run, part: Part, index: int) -> str:
    found = run.prediction(part)
    question = to_html(run.text(found["question"], part.line))
    options = "".join(
        f'<label><input type="radio" name="answer" value="{escape(str(label))}" required> {escape(str(label))}</label>'
        for label in found["options"]
    )
    sure = "".join(
        f'<label><input type="radio" name="confidence" value="{value}"{" checked" if value == "fairly" else ""}> '
        f"{word}</label>"
        for value, word in (("guess", "a guess"), ("fairly", "fairly sure"), ("sure", "sure"))
    )
    return (
        f'<div class="lab-exercise"><h2>Predict</h2>{question}<form data-predict="{index}">'
        f"<fieldset><legend>Your prediction</legend>{options}</fieldset>"
        f'<fieldset class="lab-sure"><legend>How sure are you?</legend>{sure}</fieldset>'
        f'<button>Commit</button></form><div class="lab-verdict" aria-live="polite"></div></div>'
    )


def _fix(run: Run, part: Part, index: int) -> str:
    task = to_html(f"{run.task(part)}\n\n{run.repair(part).passes}")
    rows = "".join(control(made, f"fix-{index}-") for made in run.controls(part))
    return (
        f'<div class="lab-exercise"><h2>Fix</h2>{task}<form data-fix="{index}"><div class="lab-choices">{rows}</div>'
        f'<button>Check and train it</button></form><div class="lab-verdict" aria-live="polite"></div></div>'
        + folded("Code", fix_code(part))
    )


def _exercise(name: str) -> str:
    """Task, editor, hints step by step, and the solution, folded behind them."""
    task = load(name)
    rows, points = task.starter.count("\n") + 2, f"{task.points} {'point' if task.points == 1 else 'points'}"
    hints = "".join(
        f"<details><summary>Hint {i}</summary>{to_html(hint)}</details>" for i, hint in enumerate(task.hints, 1)
    )
    return (
        f'<div class="lab-exercise"><h2>Write it: {escape(task.title)}</h2>'
        f"<p>About {task.minutes} minutes, {points}.</p>{to_html(task.prompt)}"
        f'<form data-exercise="{name}"><div class="lab-control lab-text"><label for="code-{name}">Your code</label>'
        f'<textarea id="code-{name}" name="code" rows="{rows}" spellcheck="false">'
        f"{escape(task.starter)}</textarea></div>"
        f'<button>Run the tests</button></form><div class="lab-verdict" aria-live="polite"></div>{hints}</div>'
        + folded("A solution", task.solution)
    )


def fix_code(part: Part) -> str:
    """The code of a fix without what repairs it."""
    return re.split(r"^(?:solved|broken|train|demands)\b[^\n]* = ", part.body, maxsplit=1, flags=re.MULTILINE)[0]


def fields(known: tuple[Control, ...], given: dict[str, Any]) -> dict[str, str]:
    """Text by name of a control, of what a form sends."""
    return {made.name: str(given[made.name]) for made in known if made.name in given}
