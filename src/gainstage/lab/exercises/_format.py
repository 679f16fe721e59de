"""The file of an exercise: a head of settings, a task in Markdown, and blocks of code."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from gainstage.lab._errors import LabError

FOLDER = Path(__file__).parent
ONCE, MANY = ("starter", "solution", "tests"), ("hint",)


class Head(msgspec.Struct, forbid_unknown_fields=True):
    """The settings between the two lines of `---`."""

    title: str
    lesson: int
    minutes: int
    points: int
    without: list[str] = []


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: of its file, without `.md`.
        title: a few words.
        lesson: number of the lesson that it belongs to.
        minutes: that it takes somebody who read the lesson.
        points: for all tests; each test is worth the same share.
        without: names that the learner's code may not use: what is to be written.
        prompt: the task, Markdown with `$...$`.
        starter: the code that the editor opens with.
        solution: a right answer.
        tests: functions; the docstring of each is the line that is shown.
        hints: Markdown, one step after the other.
    """

    name: str
    title: str
    lesson: int
    minutes: int
    points: int
    without: tuple[str, ...]
    prompt: str
    starter: str
    solution: str
    tests: str
    hints: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """What each test demands, in order."""
        tests = (node for node in ast.parse(self.tests).body if isinstance(node, ast.FunctionDef))
        return tuple(_says(test) for test in tests if test.name.startswith("test"))


def names() -> tuple[str, ...]:
    """The exercises there are, by lesson and then by name."""
    return tuple(sorted((path.stem for path in FOLDER.glob("*.md")), key=lambda name: (load(name).lesson, name)))


def of_lesson(number: int) -> tuple[str, ...]:
    """The exercises of one lesson.

    Example:
        >>> of_lesson(7)
        ('orthogonal',)
    """
    return tuple(name for name in names() if load(name).lesson == number)


@cache
def load(name: str) -> Exercise:
    """The exercise of this name.

    Raises:
        LabError: there is none, or its file is not written as it should be.

    Example:
        >>> load("relu").lesson
        5
    """
    path = FOLDER / f"{name}.md"
    if not name.isidentifier() or not path.is_file():
        near = get_close_matches(name, [known.stem for known in FOLDER.glob("*.md")], n=1)
        raise LabError(f"there is no exercise {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return parse(path.read_text(encoding="utf-8"), name)


def parse(text: str, name: str) -> Exercise:
    """An exercise from the text of its file.

    Args:
        text: the file.
        name: of the exercise, for messages.

    Raises:
        LabError: what is wrong, with its line and what to write.
    """
    where = f"exercise {name}.md"
    opening, _, rest = text.partition("---\n")
    settings, closing, body = rest.partition("\n---\n")
    if opening.strip() or not closing:
        raise LabError(f"{where}: it must begin with its settings between two lines of ---: title, lesson, ...")
    try:
        head = msgspec.yaml.decode(settings, type=Head)
    except msgspec.MsgspecError as error:
        raise LabError(f"{where}, in the settings: {error}") from None
    prompt, blocks = _blocks(body, where, 2 + settings.count("\n") + 1)
    for kind in ONCE:
        if len(blocks.get(kind, ())) != 1:
            raise LabError(f"{where}: expected one block ```{{{kind}}}, found {len(blocks.get(kind, ()))}")
        try:
            ast.parse(blocks[kind][0])
        except SyntaxError as error:
            raise LabError(f"{where}, block {{{kind}}}, line {error.lineno}: {error.msg}") from None
    code: dict[str, Any] = {kind: blocks[kind][0] for kind in ONCE}
    made = Exercise(
        name=name,
        title=head.title,
        lesson=head.lesson,
        minutes=head.minutes,
        points=head.points,
        without=tuple(head.without),
        prompt=prompt,
        hints=tuple(hint.strip() for hint in blocks.get("hint", ())),
        **code,
    )
    if not made.lines:
        raise LabError(f"{where}: the block {{tests}} has no function. Write: def test(): close(yours, right)")
    return made


def _blocks(body: str, where: str, first: int) -> tuple[str, dict[str, list[str]]]:
    """The text outside of blocks, and the blocks by kind."""
    from markdown_it import MarkdownIt

    lines, taken, blocks = body.split("\n"), set[int](), dict[str, list[str]]()
    for token in MarkdownIt("commonmark").parse(body):
        if token.type != "fence" or not token.info.startswith("{"):
            continue
        kind = token.info.strip().strip("{}")
        assert token.map is not None
        if kind not in ONCE + MANY:
            raise LabError(
                f"{where}, line {first + token.map[0] + 1}: there is no block {{{kind}}}; "
                f"write one of {', '.join('{' + known + '}' for known in ONCE + MANY)}"
            )
        blocks.setdefault(kind, []).append(token.content)
        taken |= set(range(*token.map))
    return _without(lines, taken), blocks


def _without(lines: Sequence[str], taken: set[int]) -> str:
    kept = [line for number, line in enumerate(lines) if number not in taken]
    return "\n".join(kept).strip() + "\n"


def _says(function: ast.FunctionDef) -> str:
    said = ast.get_docstring(function)
    return said.splitlines()[0] if said else function.name.replace("_", " ")
