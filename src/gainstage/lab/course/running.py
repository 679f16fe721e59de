"""A lesson is run from top to bottom, once; its measurements then answer to every move of a slider."""

import inspect
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property
from typing import Any

from gainstage.lab._fix import Code, Fix
from gainstage.lab._lessons import Lesson
from gainstage.lab.course.controls import Control, chosen, controls, few
from gainstage.lab.course.grammar import Document, LessonError, Part, read, wrong, yaml
from gainstage.lab.course.values import fill
from gainstage.lab.course.widgets import Rows, slots
from gainstage.train import one_thread

TURN = threading.Lock()  # one computation at a time: torch's random state and its threads are one for all
_CAPTION = re.compile(r"(?:(?P<name>[A-Za-z]\w*)\s*=\s*)?(?P<caption>.+)", re.DOTALL)

Row = dict[str, Any]
Item = tuple[str, Any]  # a slot of the page and what is shown in it


class Run:
    """One lesson that runs.

    Names defined in a block are there in all blocks below it; what a table or a measurement uses inside is its own.

    Args:
        lesson: which.
    """

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.names: dict[str, Any] = {"__name__": f"lesson_{lesson.number}"}
        self.tables: dict[int, list[Row]] = {}
        self.claims: dict[int, dict[str, Any]] = {}  # of a fix, by line: what repairs it and what is broken
        self.offered = 10_000  # values of a slider; a page without a server has few
        self._first: dict[int, tuple[Item, ...]] = {}
        self._done = 0  # parts that were run

    @cached_property
    def document(self) -> Document:
        """The lesson as it is written."""
        return read(self.lesson.path)

    def upto(self, index: int) -> None:
        """Run all parts before the one of this index that were not run yet, and it.

        Raises:
            LessonError: one of them fails; the message names its line.
        """
        while self._done <= index:
            part = self.document.parts[self._done]
            if (run := _RUN.get(part.kind)) is not None:
                with one_thread():
                    run(self, part, self._done)
            self._done += 1

    def text(self, source: str, line: int) -> str:
        """Markdown with the values of this run."""
        return fill(source, self.names, self.document.file, line)

    def controls(self, part: Part) -> tuple[Control, ...]:
        """What can be set in a measurement or a fix."""
        made = controls(self.function(part), self.document.file, part.line)
        return tuple(few(control, self.offered) for control in made)

    def function(self, part: Part) -> Callable[..., Any]:
        """The function of a measurement or a fix."""
        made: Callable[..., Any] = self.names[_function_name(part, self.document)]
        return made

    def measured(self, part: Part, given: Mapping[str, str]) -> Iterator[Item]:
        """What a measurement shows, one by one; an item of a slot that was there takes its place.

        Args:
            part: the measurement.
            given: text by name of a control, as an address has it.
        """
        from gainstage.lab._blocks import prose

        values, said = chosen(self.controls(part), given)
        if said:
            yield "said", prose(" ".join(said))
        yield from slots(self.function(part)(**values))

    def at_first(self, part: Part) -> tuple[Item, ...]:
        """What a measurement shows before anything is moved; measured once."""
        if part.line not in self._first:
            self._first[part.line] = tuple(dict(self.measured(part, {})).items())
        return self._first[part.line]

    def prediction(self, part: Part) -> Mapping[str, Any]:
        """The fields of a prediction."""
        found = yaml(part.body, self.document.file, part.line)
        asked = {"question": str, "options": dict, "answer": str, "measure": str, "why": str}
        for name, kind in asked.items():
            if not isinstance(found.get(name), kind):
                raise wrong(self.document.file, part.line, f"a prediction needs {name}. Write: {name}: ...")
        if found["answer"] not in found["options"]:
            raise wrong(self.document.file, part.line, f"answer: {found['answer']!r} is none of its options")
        return found

    def truth(self, part: Part) -> str:
        """The option that the measurement of a prediction makes true.

        Raises:
            LessonError: it makes none or several true.
        """
        options = self.prediction(part)["options"]
        with one_thread():
            holds = [label for label, condition in options.items() if eval(str(condition), dict(self.names))]
        if len(holds) != 1:
            raise wrong(self.document.file, part.line, f"exactly one option must hold, there hold {holds or 'none'}")
        return str(holds[0])

    def repair(self, part: Part) -> Fix:
        """The broken network of a fix."""
        known = self.controls(part)
        choices: dict[str, Any] = {}
        for control in known:
            others = [value for value in control.values if value != control.start]
            choices[control.name] = Code(control.start) if control.kind == "text" else [control.start, *others]
        labels = {control.name: control.label for control in known}
        claims = self.claims[part.line]
        judged = {"demands": claims["demands"], "train": claims["train"]}
        return Fix(self.lesson, self.task(part), self.function(part), choices, labels, **judged)

    def task(self, part: Part) -> str:
        """What a fix asks: the docstring of its `build`, but for its last paragraph, which labels the choices."""
        *asked, _ = inspect.cleandoc(self.function(part).__doc__ or "").split("\n\n")
        return self.text("\n\n".join(asked), part.line)

    def _run(self, part: Part, names: dict[str, Any], code: str = "", line: int = 0) -> None:
        file = self.document.file
        try:
            exec(compile("\n" * ((line or part.line) - 1) + (code or part.body), str(file), "exec"), names)
        except SyntaxError as error:
            raise wrong(file, error.lineno or part.line, f"{{{part.kind}}} is not Python: {error.msg}") from None
        except LessonError:
            raise
        except Exception as error:
            at = [frame.tb_lineno for frame in _frames(error) if frame.tb_frame.f_code.co_filename == str(file)]
            raise wrong(
                file, at[-1] if at else part.line, f"{{{part.kind}}} fails: {type(error).__name__}: {error}"
            ) from error


@cache
def run_of(lesson: Lesson) -> Run:
    """The one run of a lesson in this process."""
    return Run(lesson)


def _plain(run: Run, part: Part, _: int) -> None:
    run._run(part, run.names)


def _table(run: Run, part: Part, index: int) -> None:
    row = Rows(caption(part))
    run._run(part, {**run.names, "row": row})
    run.tables[index] = row.rows
    if (name := table_name(part)) is not None:
        run.names[name] = row.rows


def _function(run: Run, part: Part, _: int) -> None:
    before = dict(run.names)
    run._run(part, run.names)
    if part.kind == "fix":
        claims = {name: run.names.pop(name) for name in ("broken", "solved") if name in run.names}
        if len(claims) < 2:
            raise wrong(
                run.document.file, part.line, "a fix says what repairs it. Write: broken, solved = {...}, {...}"
            )
        run.claims[part.line] = claims | {name: run.names.pop(name, None) for name in ("demands", "train")}
    run.controls(part)
    others = [p for p in run.document.of("measure") if p is not part and _function_name(p, run.document) in before]
    taken = {control.name for other in others for control in run.controls(other)}
    if part.kind == "measure" and (both := taken & {control.name for control in run.controls(part)}):
        raise wrong(run.document.file, part.line, f"{', '.join(sorted(both))}: another measurement has a slider of "
                    "this name, and the address could not tell them apart. Rename it")  # fmt: skip


def _prediction(run: Run, part: Part, _: int) -> None:
    code = run.prediction(part)["measure"]
    line = part.line + next(i for i, text in enumerate(part.body.splitlines()) if text.startswith("measure:")) + 1
    run._run(part, run.names, code, line)


_RUN: dict[str, Callable[[Run, Part, int], None]] = {
    "setup": _plain,
    "code": _plain,
    "table": _table,
    "measure": _function,
    "fix": _function,
    "predict": _prediction,
}


def table_name(part: Part) -> str | None:
    """The name under which the rows of a table are known: `{table} name = Caption`."""
    found = _CAPTION.fullmatch(part.argument)
    return found["name"] if found else None


def caption(part: Part) -> str:
    """What a table says."""
    found = _CAPTION.fullmatch(part.argument)
    return found["caption"] if found else ""


def _function_name(part: Part, document: Document) -> str:
    if part.kind == "fix":
        return "build"
    found = re.findall(r"^def (\w+)\(", part.body, re.MULTILINE)
    if not found:
        raise wrong(
            document.file, part.line, "a measurement is one function. Write: def name(depth: (2, 60) = 20): ..."
        )
    return str(found[-1])


def _frames(error: BaseException) -> Iterator[Any]:
    at = error.__traceback__
    while at is not None:
        yield at
        at = at.tb_next
