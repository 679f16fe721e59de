"""A lesson is one Markdown document: front matter, prose, and fenced blocks that run from top to bottom."""

import re
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from gainstage.lab._errors import LabError

BLOCKS = {
    "setup": "imports and constants; runs, is shown folded",
    "code": "functions by hand; run and are shown",
    "predict": "a question before its measurement (YAML: question, options, measure, why)",
    "exercise": "the name of an exercise that is written and graded",
    "measure": "one pure function; its signature declares the sliders; it yields what is shown",
    "table": "statements that call row(name, column=value, ...)",
    "fix": "def build(...): a broken network; its signature declares what can be changed",
    "take-home": "lines that run as they stand",
}
PROSE, QUESTIONS = "prose", "questions"
LONGEST = 200  # lines of a lesson

_INFO = re.compile(r"\{(?P<kind>[\w-]*)\}\s*(?P<rest>.*)")
_FRONT = re.compile(r"\A---\n(.*?\n)---\n", re.DOTALL)
_ASKED = {"number": int, "title": str, "requires": str}


class LessonError(LabError):
    """A lesson is not written as lessons are; the message names file and line."""


@dataclass(frozen=True)
class Part:
    """A stretch of prose or one block.

    Attributes:
        kind: a key of `BLOCKS`, `"prose"` or `"questions"`.
        argument: what stands behind the kind on the opening line.
        body: the text.
        line: of the body's first line in the file, from 1.
    """

    kind: str
    argument: str
    body: str
    line: int


@dataclass(frozen=True)
class Document:
    """A lesson as it is written.

    Attributes:
        file: where it stands.
        number, title, requires: of the front matter.
        parts: in order.
    """

    file: Path
    number: int
    title: str
    requires: str
    parts: tuple[Part, ...]

    def of(self, kind: str) -> tuple[Part, ...]:
        """Its parts of one kind."""
        return tuple(part for part in self.parts if part.kind == kind)


def read(file: Path) -> Document:
    """The document in a file.

    Raises:
        LessonError: it is not written as lessons are.
    """
    return parse(file.read_text(encoding="utf-8"), file)


def parse(text: str, file: Path) -> Document:
    r"""The document that a text is.

    Args:
        text: front matter between `---`, then Markdown with blocks such as ` ```{measure} `.
        file: named in errors.

    Raises:
        LessonError: the front matter lacks a field, a block is unknown or not closed, the text is too long.

    Example:
        >>> made = parse("---\nnumber: 1\ntitle: T\nrequires: R\n---\nHello.\n", Path("l01.md"))
        >>> made.title, made.parts[0].body
        ('T', 'Hello.')
    """
    lines = text.splitlines()
    if len(lines) > LONGEST:
        raise wrong(
            file, LONGEST + 1, f"a lesson has at most {LONGEST} lines, this one {len(lines)}. Cut it, or split it"
        )
    front, begins = front_matter(text, file)
    return Document(file, front["number"], front["title"], front["requires"], _parts(lines, begins, file))


def wrong(file: Path, line: int, what: str) -> LessonError:
    """The error of a line."""
    return LessonError(f"{file.name}, line {line}: {what}.")


def yaml(text: str, file: Path, line: int) -> dict[str, Any]:
    """The mapping that a text in YAML is; `line` is where it begins in the file."""
    from yaml import YAMLError, safe_load

    try:
        made = safe_load(text)
    except YAMLError as error:
        at = getattr(error, "problem_mark", None)
        raise wrong(
            file, line + (at.line if at else 0), f"this is not YAML: {getattr(error, 'problem', error)}"
        ) from None
    if not isinstance(made, dict):
        raise wrong(file, line, "expected fields, one a line: name: value")
    return made


def front_matter(text: str, file: Path) -> tuple[dict[str, Any], int]:
    """The fields above a lesson, and how many lines they take."""
    found = _FRONT.match(text)
    if found is None:
        raise wrong(file, 1, "expected front matter. Begin with: ---, number: 3, title: ..., requires: ..., ---")
    front = yaml(found[1], file, 2)
    for name, kind in _ASKED.items():
        if not isinstance(front.get(name), kind):
            raise wrong(file, 2, f"the front matter needs {name}, of type {kind.__name__}. Write: {name}: ...")
    return front, found[0].count("\n")


def _parts(lines: list[str], begins: int, file: Path) -> tuple[Part, ...]:
    """Blocks are the fences at the margin whose first word is in braces; all between them is prose."""
    from markdown_it import MarkdownIt

    parts: list[Part] = []
    after = begins  # the first line, from 0, that is in no part yet

    def prose(until: int) -> None:
        parts.extend(_prose(lines, after, until))

    text = "\n" * begins + "\n".join(lines[begins:])
    for token in MarkdownIt("commonmark").parse(text):
        if token.type != "fence" or token.level or not token.info.startswith("{"):
            continue
        start, end = token.map or (0, 0)
        found = _INFO.fullmatch(token.info.strip())
        kind = found["kind"] if found else token.info
        if found is None or kind not in BLOCKS:
            near = get_close_matches(kind, BLOCKS, n=1)
            meant = (
                f"did you mean {{{near[0]}}}?" if near else "there are " + ", ".join(f"{{{name}}}" for name in BLOCKS)
            )
            raise wrong(file, start + 1, f"there is no block {{{kind}}}; {meant}")
        if not lines[end - 1].startswith(token.markup) or end - 1 == start:
            raise wrong(file, start + 1, f"the block {{{kind}}} is not closed. End it with a line {token.markup}")
        prose(start)
        parts.append(Part(kind, found["rest"], token.content, start + 2))
        after = end
    prose(len(lines))
    return tuple(parts)


def _prose(lines: list[str], start: int, end: int) -> list[Part]:
    """Prose between two blocks, cut at its headings; what follows `## Questions` is questions."""
    cuts = [start] + [i for i in range(start, end) if lines[i].startswith("## ")] + [end]
    made = []
    for begin, stop in pairwise(cuts):
        while begin < stop and not lines[begin].strip():
            begin += 1
        body = "\n".join(lines[begin:stop]).rstrip()
        if body:
            kind = QUESTIONS if lines[begin].strip() == "## Questions" else PROSE
            made.append(Part(kind, "", body, begin + 1))
    return made
